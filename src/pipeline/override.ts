import type { ConsumerLimits } from './scaling.ts';

/** At most so many actors may consume one lane in one process: each has a channel, and needs a database connection. */
export const mostConsumers = 64;

/** What somebody wrote to overrule the configuration of a lane, or of all lanes of a step, while processes run. */
export interface Override {
  /** Instead of `consumers.min` and `consumers.max`; of a lane only. */
  readonly min?: number;
  readonly max?: number;
  /** True: nothing is consumed. */
  readonly paused?: boolean;
  /** Who wrote it and why, in a person's words. */
  readonly by?: string;
  readonly note?: string;
}

/** What is overruled: a lane, by what is configured for it, or all lanes of a step, of which nothing but `paused` is. */
export type Overridden = { readonly consumers: ConsumerLimits } | 'step';

/** Says that an override can't be understood, with every mistake in it. */
export class OverrideError extends Error {
  override name = 'OverrideError';
  /** One sentence per mistake: what came, and what would be right. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('; '), options);
    this.problems = problems;
  }
}

/**
 * Reads an override as a person wrote it, a JSON object with any of `min`, `max`, `paused`, `by` and `note`; of a step
 * without `min` and `max`. Throws an `OverrideError` with every mistake, also if what is configured for the lane
 * contradicts it.
 */
export function parseOverride(of: Overridden, written: string | Uint8Array): Override {
  const json = objectIn(written);
  const problems: string[] = [];
  const fields = of === 'step' ? stepFields : laneFields;
  for (const [field, came] of Object.entries(json)) {
    const expected = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (expected === undefined)
      problems.push(
        of === 'step' && Object.hasOwn(laneFields, field)
          ? `${field} can't be said of a step; say it of each of its lanes`
          : `${field} is unknown; expected some of ${Object.keys(fields).join(', ')}`,
      );
    else if (!expected.is(came))
      problems.push(`${field} is ${JSON.stringify(came)}; expected ${expected.words}`);
  }
  if (problems.length > 0) throw new OverrideError(problems);
  const override = json as Override;
  if (of !== 'step') {
    const { min, max } = { ...of.consumers, ...override };
    const from = (field: 'min' | 'max') => (override[field] === undefined ? ' (as configured)' : '');
    if (min > max)
      throw new OverrideError([
        `min ${min}${from('min')} is more than max ${max}${from('max')}; give both, so that they fit`,
      ]);
  }
  return override;
}

/** How many actors may consume a lane, whether it is paused, and who said so; undefined where it is the configuration. */
export interface LaneLimits extends ConsumerLimits {
  /** Undefined while it is not paused. */
  readonly pause: OverrideSource | undefined;
  /** Who overruled `min` or `max`. */
  readonly from: OverrideSource | undefined;
}

/** An override as it was found. */
export interface FoundOverride {
  readonly override: Override;
  readonly changedAt: Date;
}

/** Where something that overrules the configuration comes from. */
export interface OverrideSource {
  /** The step or `<step>.<lane>` that the override is for. */
  readonly name: string;
  /** Null if nobody said so, as with zkCli. */
  readonly by: string | null;
  readonly note: string | null;
  readonly at: Date;
}

/** Puts together what holds for a lane: it is paused if its own override says so, or that of its whole step. */
export function limitsOf(
  configured: ConsumerLimits,
  { step, lane }: { step: string; lane: string },
  found: (name: string) => FoundOverride | undefined,
): LaneLimits {
  const name = `${step}.${lane}`;
  const own = found(name);
  const { min = configured.min, max = configured.max } = own?.override ?? {};
  const isOverruled = own?.override.min !== undefined || own?.override.max !== undefined;
  const pausing = [step, name].find((each) => found(each)?.override.paused);
  return {
    min,
    max,
    from: isOverruled ? sourceOf(name, own) : undefined,
    pause: pausing === undefined ? undefined : sourceOf(pausing, found(pausing)),
  };
}

/** Writes limits for people: `2 to 8`, or `2` where there is no choice. */
export const describeLimits = ({ min, max }: ConsumerLimits): string =>
  min === max ? String(min) : `${min} to ${max}`;

/** Says in words where an override comes from: `haneul@ops-2 at 2026-11-25T03:12:09.201Z ("rush")`. */
export function describeSource({ by, note, at }: OverrideSource): string {
  return `${by ?? 'somebody'} at ${at.toISOString()}${note === null ? '' : ` ("${note}")`}`;
}

function sourceOf(name: string, found: FoundOverride | undefined): OverrideSource | undefined {
  if (!found) return undefined;
  const { override, changedAt } = found;
  return { name, by: override.by ?? null, note: override.note ?? null, at: changedAt };
}

const consumers = {
  is: (came: unknown) => Number.isInteger(came) && Number(came) >= 1 && Number(came) <= mostConsumers,
  words: `a whole number from 1 to ${mostConsumers}`,
};
const aText = { is: (came: unknown) => typeof came === 'string', words: 'a text' };
const stepFields: Record<string, { is: (came: unknown) => boolean; words: string }> = {
  paused: { is: (came) => typeof came === 'boolean', words: 'true or false' },
  by: aText,
  note: aText,
};
const laneFields: typeof stepFields = { min: consumers, max: consumers, ...stepFields };

const example = '{ "max": 8, "note": "rush" }';

function objectIn(written: string | Uint8Array): Record<string, unknown> {
  let json: unknown;
  try {
    const text =
      typeof written === 'string' ? written : new TextDecoder('utf-8', { fatal: true }).decode(written);
    if (text.trim() === '') throw new Error('it is empty');
    json = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OverrideError(
      [
        `the value is no JSON: ${why}; expected such as ${example} (in zkCli, in quotes: it cuts a value at its first space)`,
      ],
      { cause },
    );
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new OverrideError([`the value is ${JSON.stringify(json)}; expected an object, such as ${example}`]);
  return json as Record<string, unknown>;
}
