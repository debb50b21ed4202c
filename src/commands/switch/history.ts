import { registered } from '../../switches/definition.ts';
import { type Gap, type SwitchVersion, versionOf, withGaps } from '../../switches/history.ts';
import { readSwitch } from '../../switches/write.ts';
import type { Output } from '../output.ts';
import { type PlaceOptions, placeOf, type SwitchSettings, withRecords } from './place.ts';

/**
 * Shows the versions of a switch, the newest first, with what is missing between them.
 *
 * The present one is looked up in ZooKeeper and kept, for no process may have run when it was written.
 */
export async function showHistory(
  settings: SwitchSettings,
  name: string,
  { limit, json, ...options }: PlaceOptions & { limit: number },
  { say, warn }: Output,
): Promise<void> {
  registered(settings.registry, name);
  const place = placeOf(settings, options);
  const now = await readSwitch(place, name).catch((error: Error) => {
    warn(`warning: the present version may be missing: ${error.message}`);
    return null;
  });
  const versions = await withRecords(settings, place, async ({ history }) => {
    if (now) await history.keep(versionOf(place, name, now));
    return history.versions(name, limit);
  });
  const rows = withGaps(versions, { all: versions.length < limit });
  if (json)
    return say(
      JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
  if (rows.length === 0) return say(`${name}: no version is known`);
  for (const row of rows) say(lineOf(row));
}

function lineOf(row: SwitchVersion | Gap): string {
  if ('unseen' in row) {
    const { unseen, remade } = row;
    const versions =
      unseen &&
      (unseen.from === unseen.to ? `version ${unseen.from}` : `versions ${unseen.from} to ${unseen.to}`);
    return `   …  ${[versions && `${versions}: seen by nobody`, remade && 'deleted and made again'].filter(Boolean).join('; ')}`;
  }
  const { version, changedAt, raw, who, note, error } = row;
  const wrong = error === null ? '' : ` CAN'T BE USED: ${error}`;
  const why = note === null ? '' : `  "${note}"`;
  return `${String(version).padStart(4)}  ${changedAt.toISOString()}  ${who ?? '(unknown)'}  ${raw}${wrong}${why}`;
}
