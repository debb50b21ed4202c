import { bucketOf } from './bucket.ts';
import type { SwitchDefinition } from './definition.ts';
import { onlyVariant, type Rule, type Segment, variantOfBucket } from './rule.ts';

/** What the caller knows of the one to decide for, such as `{ sellerId: 's-17' }`. */
export type SwitchContext = Readonly<Record<string, string>>;

/**
 * Why an evaluation gave what it gave (the words are OpenFeature's):
 *
 * - `STATIC`: the value sends everyone to one variant.
 * - `SPLIT`: the key's bucket decided.
 * - `TARGETING_MATCH`: a segment decided.
 * - `DEFAULT`: no value is known; the registered fallback.
 * - `STALE`: as the last known value says, while ZooKeeper is away.
 * - `ERROR`: something is wrong, `errorMessage` says what; the fallback.
 */
export type Reason = 'STATIC' | 'SPLIT' | 'TARGETING_MATCH' | 'DEFAULT' | 'STALE' | 'ERROR';

/** An answer and how it came about. */
export interface Evaluation {
  readonly value: string;
  /** The variant's name; empty only for a switch that isn't registered. */
  readonly variant: string;
  readonly reason: Reason;
  /** The version of the znode whose value was applied; null if none was. */
  readonly version: number | null;
  /** 0 to 9,999; there if the bucket decided. */
  readonly bucket?: number;
  /** There if the reason is `ERROR`. */
  readonly errorMessage?: string;
}

/** What is known of a switch at some moment. */
export interface SwitchState {
  readonly name: string;
  readonly definition: SwitchDefinition;
  /** The last good value; undefined while there is none. */
  readonly applied: { readonly rule: Rule; readonly version: number } | undefined;
  /** Why the znode's present value can't be used; undefined if it can, or if there is none. */
  readonly error: string | undefined;
  /** Whether ZooKeeper has lost the value that is applied; then it is as stale as if ZooKeeper were away. */
  readonly lost?: boolean;
}

/** Decides for one context: in memory, without waiting; it never throws. `stale` says that ZooKeeper is away. */
export function evaluateSwitch(state: SwitchState, context: SwitchContext, stale: boolean): Evaluation {
  const { applied, definition } = state;
  if (applied === undefined) {
    if (state.error === undefined) return answer(definition.fallback, 'DEFAULT', null);
    return failed(definition.fallback, null, `its value can't be used: ${state.error}`);
  }
  const { rule, version } = applied;
  try {
    const evaluation = evaluateRule(state.name, rule, version, context);
    return (stale || state.lost) && evaluation.reason !== 'ERROR'
      ? { ...evaluation, reason: 'STALE' }
      : evaluation;
  } catch (error) {
    return failed(rule.fallback, version, `the context can't be read: ${String(error)}`);
  }
}

/** The answer for a name that isn't registered; the type of `evaluate` rules it out, JavaScript doesn't. */
export function unknownSwitch(name: string, known: Iterable<string>): Evaluation {
  return failed(
    '',
    null,
    `"${name}" is not a registered switch; known are: ${[...known].join(', ') || 'none'}`,
  );
}

function evaluateRule(name: string, rule: Rule, version: number, context: SwitchContext): Evaluation {
  for (const segment of rule.segments) {
    if (matches(segment, context)) return answer(segment.variant, 'TARGETING_MATCH', version);
  }
  const only = onlyVariant(rule);
  if (only !== undefined) return answer(only, 'STATIC', version);
  const key = attributeOf(context, rule.by);
  if (key === undefined || key === '') {
    return failed(rule.fallback, version, `the context has no "${rule.by}", by which "${name}" is split`);
  }
  const bucket = bucketOf(name, key);
  const variant = variantOfBucket(rule, bucket);
  return { value: variant, variant, reason: 'SPLIT', version, bucket };
}

function matches({ when }: Segment, context: SwitchContext): boolean {
  for (const { attribute, values } of when) {
    const value = attributeOf(context, attribute);
    if (value === undefined || !values.has(value)) return false;
  }
  return true;
}

function attributeOf(context: SwitchContext, attribute: string): string | undefined {
  const value: unknown = Object.hasOwn(context, attribute) ? context[attribute] : undefined;
  return typeof value === 'string' ? value : undefined;
}

const answer = (variant: string, reason: Reason, version: number | null): Evaluation => ({
  value: variant,
  variant,
  reason,
  version,
});

const failed = (variant: string, version: number | null, errorMessage: string): Evaluation => ({
  ...answer(variant, 'ERROR', version),
  errorMessage,
});
