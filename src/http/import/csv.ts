import { parseRecords } from '../../import/parse.ts';
import { type RawRecord, splitRecords } from '../../import/records.ts';
import { invalidRequest } from '../problem.ts';
import type { ImportFile } from './file.ts';
import { checkRow, type FieldNames, type Row, shown } from './row.ts';

const columns: FieldNames = {
  orderId: 'order_id',
  newShipDate: 'new_ship_date',
  reason: 'reason',
  detail: 'detail',
};
const header = 'order_id,new_ship_date,reason,detail';

/**
 * Reads the first line of a CSV (RFC 4180), which names the columns in any order; `detail` may be missing.
 *
 * Throws the problem `invalid-request` if a column that is needed isn't there, or one that nobody knows: left out in
 * silence, a misspelt `detail` would never reach the customers.
 */
export async function csvFile(text: AsyncIterable<string>): Promise<ImportFile> {
  const batches = sound(splitRecords(text, ','));
  const first = await batches.next();
  const [named, ...others] = first.done ? [] : first.value;
  const fields = named && parseRecords([named], ',')[0];
  if (!named || !Array.isArray(fields)) throw notTheHeader(named?.text ?? '');
  const names = fields.map((field) => field.trim());
  const at = placesOf(names, named.text);

  return {
    head: `csv\n${named.text}\n`,
    batches: (async function* () {
      if (others.length > 0) yield others;
      yield* batches;
    })(),
    rowsOf(records) {
      const simple = records.map(simpleFields);
      const parsed = parseRecords(
        records.filter((_, at) => simple[at] === undefined),
        ',',
      ).values();
      return records.map((record, at) =>
        rowOf(record, simple[at] ?? (parsed.next().value as string[] | Error)),
      );
    },
  };

  function rowOf({ line }: RawRecord, fields: string[] | Error): Row {
    if (fields instanceof Error)
      return { line, orderId: null, expected: 'quotes as CSV has them (RFC 4180)', got: fields.message };
    if (fields.length !== names.length)
      return {
        line,
        orderId: null,
        expected: `${names.length} columns, as in the first line`,
        got: fields.length === 1 ? 'one column' : `${fields.length} columns`,
      };
    return checkRow(
      columns,
      line,
      fields[at.orderId]?.trim(),
      fields[at.newShipDate]?.trim(),
      fields[at.reason]?.trim(),
      fields[at.detail]?.trim(),
    );
  }
}

/**
 * The fields of a record that needs no parser, five times quicker: without any quote, or with quotes around each field
 * and none inside. Undefined for others.
 */
function simpleFields({ text, problem }: RawRecord): string[] | undefined {
  if (problem !== undefined) return undefined;
  if (!text.includes('"')) return text.split(',');
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return undefined;
  const fields = text.slice(1, -1).split('","');
  return fields.some((field) => field.includes('"')) ? undefined : fields;
}

function placesOf(names: readonly string[], line: string): Record<keyof FieldNames, number> {
  const known = Object.entries(columns);
  const allKnown = names.every((name) => known.some(([, column]) => column === name));
  const needed = known.every(([field, column]) => field === 'detail' || names.includes(column));
  if (!allKnown || !needed || new Set(names).size !== names.length) throw notTheHeader(line);
  return Object.fromEntries(known.map(([field, column]) => [field, names.indexOf(column)])) as Record<
    keyof FieldNames,
    number
  >;
}

const notTheHeader = (line: string) =>
  invalidRequest([
    {
      pointer: '#',
      expected: `a first line that names the columns, ${header}, in any order; detail may be left out`,
      got: line === '' ? 'an empty body' : shown(line),
    },
  ]);

/** Says in a seller's words that this is no CSV. */
async function* sound(batches: AsyncGenerator<RawRecord[]>): AsyncGenerator<RawRecord[]> {
  try {
    yield* batches;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('Line ')) throw error;
    throw invalidRequest([
      { pointer: '#', expected: 'lines of CSV, of at most a million characters', got: error.message },
    ]);
  }
}
