import { InvalidArgumentError } from 'commander';
import { registered } from '../../switches/definition.ts';
import { isSameZnode, versionOf, withGaps } from '../../switches/history.ts';
import { parseRule } from '../../switches/parse.ts';
import { describeRule } from '../../switches/rule.ts';
import { readSwitch, type SwitchPlace, type Written, writeSwitch } from '../../switches/write.ts';
import type { Output } from '../output.ts';
import { whoAmI } from '../who.ts';
import { effectOf, tellEffect } from './effect.ts';
import { type PlaceOptions, placeOf, type SwitchSettings, withRecords } from './place.ts';

export interface SetOptions extends PlaceOptions {
  note?: string;
  by?: string;
  ifVersion?: number;
  to?: number;
  dryRun?: boolean;
}

/** Reads the number of a version; for commander. */
export function versionNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('expected the number of a version, such as 3');
  return Number(text);
}

/** Sets a switch, or shows what that would do; `warn` takes what went wrong beside it. */
export async function setSwitch(
  settings: SwitchSettings,
  name: string,
  given: string | undefined,
  options: SetOptions,
  { say, warn }: Output,
): Promise<void> {
  if ((given === undefined) === (options.to === undefined))
    throw new Error('expected a value, such as 25%, or --to and the number of an earlier version');
  const place = placeOf(settings, options);
  const value = given ?? (await valueOf(settings, place, name, options.to as number));
  if (options.dryRun) return dryRun(settings, place, name, value, options, { say, warn });

  const { ifVersion } = options;
  const written = await writeSwitch(place, name, value, ifVersion === undefined ? {} : { ifVersion });
  if (written.changed) await keep(settings, place, name, written, options, warn);
  const { now, before, changed } = written;
  const [raw, version, was] = [now.raw, now.version, before && { raw: before.raw, version: before.version }];
  if (options.json)
    return say(JSON.stringify({ name, raw, version, created: before === null, changed, before: was }));
  if (!changed) return say(`${name}: ${raw} (version ${version}) already, nothing was written`);
  say(`${name}: ${was ? `${was.raw} → ` : ''}${raw} (version ${version})`);
}

/** Keeps who did it and why. The switch is set by now, which is what counts: that this fails is only a warning. */
async function keep(
  settings: SwitchSettings,
  place: SwitchPlace,
  name: string,
  { now }: Written,
  { by, note }: SetOptions,
  warn: Output['warn'],
): Promise<void> {
  try {
    await withRecords(settings, place, ({ history }) =>
      history.keep(versionOf(settings, name, now, { who: by ?? whoAmI(), note })),
    );
  } catch (error) {
    warn(`warning: the switch is set, but not who set it and why: ${(error as Error).message}`);
  }
}

/** Looks up an earlier version, of the present znode if there was more than one of that number. */
async function valueOf(
  settings: SwitchSettings,
  place: SwitchPlace,
  name: string,
  version: number,
): Promise<string> {
  const now = await readSwitch(place, name);
  const versions = await withRecords(settings, place, async ({ history }) => {
    if (now) await history.keep(versionOf(place, name, now));
    return history.versions(name, 100_000);
  });
  const such = versions.filter((each) => each.version === version);
  const found = such.find((each) => now && isSameZnode(each, now)) ?? such[0];
  if (found) return found.raw;
  const gap = withGaps(versions).some(
    (each) => 'unseen' in each && each.unseen && each.unseen.from <= version && version <= each.unseen.to,
  );
  throw new Error(
    gap
      ? `version ${version} of ${name} was never seen by anyone; "chodang switch history ${name}" shows those that were`
      : `${name} has no version ${version} in its history; "chodang switch history ${name}" shows those it has`,
  );
}

async function dryRun(
  settings: SwitchSettings,
  place: SwitchPlace,
  name: string,
  value: string,
  { json, ifVersion }: SetOptions,
  { say, warn }: Output,
): Promise<void> {
  const definition = registered(place.registry, name);
  const now = await readSwitch(place, name);
  if (ifVersion !== undefined && ifVersion !== now?.version)
    warn(
      `warning: expected version ${ifVersion}, it is ${now?.version ?? 'not set'}: it would not be written`,
    );
  const next = parseRule(definition, value);
  const isUsable = !now || versionOf(place, name, now).error === null;
  const known = await withRecords(settings, place, async (records) => ({
    contexts: await records.contexts(),
    // Running processes keep the last value that could be used.
    kept: isUsable ? now : (await records.history.versions(name, 1_000)).find(({ error }) => error === null),
  })).catch((error: Error) => {
    warn(`warning: whom it would concern is not known: ${error.message}`);
    return { contexts: undefined, kept: now };
  });
  if (!isUsable)
    warn(`warning: ${now.raw} can't be used; running processes keep ${known.kept?.raw ?? 'what they had'}`);
  const effect = effectOf({ name, definition, now: known.kept?.raw, next, contexts: known.contexts });
  const before = now ? { raw: now.raw, version: now.version } : null;
  if (json) return say(JSON.stringify({ name, raw: value.trim(), dryRun: true, before, ...effect }));
  say(`${name}: ${before?.raw ?? 'not set'} → ${value.trim()} (${describeRule(next)}). Nothing was written.`);
  for (const line of tellEffect(effect)) say(line);
}
