import { type Gap, type SwitchVersion, withGaps } from '../../switches/history.ts';
import { type SwitchSettings, withRecords } from './place.ts';

/** Shows the versions of a switch, the newest first, with what is missing between them. */
export async function showHistory(
  settings: SwitchSettings,
  name: string,
  { limit, json }: { limit: number; json?: boolean },
  say: (line: string) => void,
): Promise<void> {
  if (settings.registry[name] === undefined)
    throw new Error(
      `"${name}" is not a registered switch; known are: ${Object.keys(settings.registry).join(', ')}`,
    );
  const rows = withGaps(await withRecords(settings, ({ history }) => history.versions(name, limit)));
  if (json)
    return say(
      JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
  if (rows.length === 0) return say(`${name}: no version is known`);
  for (const row of rows) say(lineOf(row));
}

function lineOf(row: SwitchVersion | Gap): string {
  if ('unseen' in row) {
    const unseen = row.unseen && `versions ${row.unseen.from} to ${row.unseen.to}: nobody saw them`;
    const remade = row.remade && 'deleted and made again';
    return `   …  ${[unseen, remade].filter(Boolean).join('; ')}`;
  }
  const { version, changedAt, raw, who, note, error } = row;
  const wrong = error === null ? '' : ` CAN'T BE USED: ${error}`;
  return `${String(version).padStart(4)}  ${changedAt.toISOString()}  ${who ?? '(unknown)'}  ${raw}${wrong}${note ? `  "${note}"` : ''}`;
}
