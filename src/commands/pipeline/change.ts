import type { Config } from '../../config/schema.ts';
import { overriddenIn, overrideKind, readOverrides } from '../../overrides.ts';
import {
  describeLimits,
  describeSource,
  limitsOf,
  type Overridden,
  type Override,
  parseOverride,
} from '../../pipeline/override.ts';
import { overrideHistory } from '../../store/overrideHistory.ts';
import { folderPath } from '../../switches/path.ts';
import { changeZnode } from '../../switches/znode.ts';
import type { Output } from '../output.ts';
import { loadSettings, requireUrls } from '../settings.ts';
import { whoAmI } from '../who.ts';
import { withStore } from '../withStore.ts';
import { named, namedLane } from './name.ts';

/** The options of everything that writes. */
export interface ChangeOptions {
  note?: string;
  by?: string;
  ifVersion?: number;
  json?: boolean;
}

/** Sets how many actors may consume a lane, in each process; what is not given stays as it is. */
export async function set(
  name: string,
  { min, max, ...options }: ChangeOptions & { min?: number; max?: number },
  output: Output,
): Promise<void> {
  if (min === undefined && max === undefined) throw new Error('expected --min, --max or both');
  const config = settings();
  namedLane(config.steps, name);
  const limits = { ...(min !== undefined && { min }), ...(max !== undefined && { max }) };
  tell(await change(config, name, (before) => ({ ...before, ...limits }), options, output), options, output);
}

/** Pauses a lane, or all lanes of a step, in every process. */
export async function pause(name: string, options: ChangeOptions, output: Output): Promise<void> {
  const config = settings();
  named(config.steps, name);
  tell(
    await change(config, name, (before) => ({ ...before, paused: true }), options, output),
    options,
    output,
  );
}

/** Lifts a pause: of a lane, or of a step with all of its lanes. */
export async function resume(name: string, options: ChangeOptions, output: Output): Promise<void> {
  const config = settings();
  const { step, lane } = named(config.steps, name);
  const written = await readOverrides(config.zookeeper, config.steps);
  const whole = written.get(step);
  if (lane !== undefined && whole?.override?.paused) {
    const { by = null, note = null } = whole.override;
    throw new Error(
      `all of ${step} was paused by ${describeSource({ name: step, by, note, at: whole.changedAt })}: ` +
        `"chodang pipeline resume ${step}" lifts that`,
    );
  }
  const lanes = Object.keys(config.steps[step]?.lanes ?? {}).map((each) => `${step}.${each}`);
  const paused = (lane === undefined ? [step, ...lanes] : [name]).filter(
    (each) => written.get(each)?.override?.paused,
  );
  const changes: Change[] = [];
  for (const each of paused) changes.push(await change(config, each, lift, options, output));
  if (options.json)
    return output.say(JSON.stringify({ name, changed: changes.length > 0, overrides: changes.map(plain) }));
  if (changes.length === 0) output.say(`${name} is not paused, nothing was written`);
  for (const each of changes) tell(each, options, output);
}

function lift(override: Override): Override | null {
  const { paused: _paused, ...rest } = override;
  return rest.min === undefined && rest.max === undefined ? null : rest;
}

/** Takes an override back: the configuration holds again. */
export async function unset(name: string, options: ChangeOptions, output: Output): Promise<void> {
  const config = settings();
  named(config.steps, name);
  tell(await change(config, name, () => null, options, output), options, output);
}

function settings(): Config {
  const config = loadSettings();
  requireUrls(config, ['zookeeper']);
  return config;
}

/** What a write did. */
interface Change {
  name: string;
  of: Overridden;
  changed: boolean;
  /** Of the znode as it is now; null if there is none. */
  version: number | null;
  raw: string | null;
}

/** Writes what `next` makes of an override (null: none), with who and why, unless that makes no sense. */
async function change(
  config: Config,
  name: string,
  next: (before: Override) => Override | null,
  { note, by = whoAmI(), ifVersion }: ChangeOptions,
  { warn }: Pick<Output, 'warn'>,
): Promise<Change> {
  const { zookeeper, steps } = config;
  const of = overriddenIn(steps)[name] ?? 'step';
  const parent = folderPath(zookeeper.root, overrideKind.folder);
  const { now, before, changed } = await changeZnode(
    zookeeper,
    parent,
    name,
    (is) => {
      let known: Override = {};
      try {
        if (is) known = parseOverride(of, is.raw);
      } catch (error) {
        warn(
          `warning: what was written before could not be used, and is replaced: ${(error as Error).message}`,
        );
      }
      // Who and why belong to one write.
      const { by: _by, note: _note, ...override } = known;
      const made = next(override);
      if (made === null) return null;
      const raw = JSON.stringify({ ...made, ...(note !== undefined && { note }), by });
      parseOverride(of, raw);
      return raw;
    },
    { ifVersion },
  );
  if (changed) {
    const written = { name, who: by, note: note ?? null, raw: now?.raw ?? null, before: before?.raw ?? null };
    await keep(config, written).catch((error: Error) =>
      warn(`warning: it is written, but the history does not have it: ${error.message}`),
    );
  }
  return { name, of, changed, version: now?.version ?? null, raw: now?.raw ?? null };
}

function plain({ name, of, changed, version, raw }: Change) {
  return { name, changed, version, override: raw === null ? null : parseOverride(of, raw) };
}

function tell(change: Change, { json }: ChangeOptions, { say }: Output): void {
  const { name, of, changed, raw } = change;
  if (json) return say(JSON.stringify(plain(change)));
  if (!changed) return say(`${name}: ${raw ?? 'nothing is set'} already, nothing was written`);
  say(`${name}: ${raw === null ? `as configured${configured(of)}` : words(parseOverride(of, raw), of)}`);
}

function words(override: Override, of: Overridden): string {
  const paused = override.paused ? 'PAUSED' : undefined;
  if (of === 'step') return paused ?? 'not paused';
  const found = { override, changedAt: new Date() };
  const { min, max } = limitsOf(of.consumers, { step: '', lane: '' }, () => found);
  return [paused, `${describeLimits({ min, max })} consumers in each process`].filter(Boolean).join(', ');
}

const configured = (of: Overridden) =>
  of === 'step' ? '' : `, ${describeLimits(of.consumers)} consumers in each process`;

async function keep(
  config: Config,
  version: Parameters<ReturnType<typeof overrideHistory>['keep']>[0],
): Promise<void> {
  await withStore((store) => overrideHistory(store, config.zookeeper.root).keep(version));
}
