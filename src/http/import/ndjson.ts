import type { RawRecord } from '../../import/records.ts';
import type { ImportFile } from './file.ts';
import { checkRow, type FieldNames, type Row, shown } from './row.ts';

const fieldNames: FieldNames = {
  orderId: 'orderId',
  newShipDate: 'newShipDate',
  reason: 'reason',
  detail: 'detail',
};
/** As the API has them elsewhere, or as a CSV has them. */
const fieldOf = new Map<string, keyof FieldNames>([
  ['orderId', 'orderId'],
  ['order_id', 'orderId'],
  ['newShipDate', 'newShipDate'],
  ['new_ship_date', 'newShipDate'],
  ['reason', 'reason'],
  ['detail', 'detail'],
]);
/** Many times what a row may hold, in characters. */
const longestLine = 16_384;

/** Reads lines of JSON, one object `{ orderId, newShipDate, reason, detail? }` each. */
export function ndjsonFile(text: AsyncIterable<string>): ImportFile {
  return { head: 'ndjson\n', batches: splitLines(text), rowsOf: (records) => records.map(rowOf) };
}

/** Cuts a text into lines, and leaves empty ones out. Of one that is too long it keeps the start, and says so. */
async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<RawRecord[]> {
  let rest = '';
  let line = 0;
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    // Its start is all that is needed to tell that it is too long.
    rest = (lines.pop() ?? '').slice(0, longestLine + 1);
    const records = lines.flatMap((text) => recordOf(++line, text));
    if (records.length > 0) yield records;
  }
  const records = recordOf(++line, rest);
  if (records.length > 0) yield records;
}

function recordOf(line: number, text: string): RawRecord[] {
  if (text.length <= longestLine) return text.trim() === '' ? [] : [{ line, text: withoutReturn(text) }];
  const problem = `a line of over ${longestLine.toLocaleString('en-US')} characters`;
  return [{ line, text: text.slice(0, longestLine + 1), problem }];
}

const withoutReturn = (text: string) => (text.endsWith('\r') ? text.slice(0, -1) : text);

function rowOf({ line, text, problem }: RawRecord): Row {
  if (problem !== undefined) return noRow(line, problem);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return noRow(line, `${shown(text)}: ${(error as SyntaxError).message.slice(0, 100)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return noRow(line, shown(text));
  const row: Partial<Record<keyof FieldNames, unknown>> = {};
  for (const name in value) {
    const field = fieldOf.get(name);
    if (field === undefined) return noRow(line, `a field ${shown(name)}`);
    row[field] = (value as Record<string, unknown>)[name];
  }
  return checkRow(fieldNames, line, row.orderId, row.newShipDate, row.reason, row.detail);
}

const noRow = (line: number, got: string): Row => ({
  line,
  orderId: null,
  expected: 'a JSON object { orderId, newShipDate, reason, detail? } on one line',
  got,
});
