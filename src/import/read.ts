import type { ShipDate } from '../rules/notice.ts';
import { chooseMapping, type FieldSource, type Mapping } from './mapping.ts';
import { parseRecords } from './parse.ts';
import { type RawRecord, splitRecords } from './records.ts';
import { BadField, type ReadRow, type RowContext, shown } from './row.ts';
import type { TextSource } from './source.ts';

/** A row that can't be used. */
export interface Reject {
  /** The number of its first line, from 1. */
  line: number;
  /** What is wrong, beginning with the column. */
  reason: string;
  /** As it stands in the file. */
  row: string;
}

/** Some rows of a file. */
export interface ReadBatch {
  rows: ReadRow[];
  rejects: Reject[];
}

/** An order file whose header has been read. */
export interface OrderFile {
  mapping: Mapping;
  /** Reads the rows, some thousands at a time; to be called once. */
  batches(): AsyncGenerator<ReadBatch>;
}

export interface ReadOptions {
  mappings: readonly Mapping[];
  /** The name of the mapping; default: the one that fits the header. */
  wanted?: string | undefined;
  /** The day it is for the shop. */
  today: ShipDate;
  /** The shop's, an IANA name. */
  timeZone: string;
  /** Of customers whose own isn't known. */
  locale: string;
}

/**
 * Reads the header of an order file and chooses its mapping.
 *
 * A row that can't be used (a wrong number of columns, a missing id, a date that isn't one, an unknown status)
 * is told as a reject and stops nothing. Throws if no mapping fits, and what the source throws.
 */
export async function readOrders(source: TextSource, options: ReadOptions): Promise<OrderFile> {
  const { mappings, wanted, today, timeZone, locale } = options;
  const named = wanted === undefined ? undefined : mappings.find(({ name }) => name === wanted);
  // The header decides on the mapping, and the mapping on how the header reads: so a mapping with an encoding or
  // delimiter of its own has to be named.
  const { delimiter = ',', encoding = 'utf-8' } = named ?? {};
  const records = splitRecords(source.text(encoding), delimiter);
  const first = await records.next();
  const [headerRecord, ...others] = first.done ? [] : first.value;
  const header = headerRecord && parseRecords([headerRecord], delimiter)[0];
  if (!header)
    throw new Error('The file is empty: expected a line with the names of the columns, then the rows.');
  if (header instanceof Error) throw new Error(`The names of the columns can't be read: ${header.message}.`);
  const columns = header.map((column) => column.trim());
  const fitting = mappings.filter(
    (each) => each === named || (each.delimiter === ',' && each.encoding === 'utf-8'),
  );
  const mapping = chooseMapping(named ? mappings : fitting, columns, wanted);
  const context: RowContext = { today, timeZone, locale, phoneCountry: mapping.phoneCountry };
  const read = rowReaderOf(mapping, columns, context);

  return {
    mapping,
    async *batches() {
      if (others.length > 0) yield readAll(others);
      for await (const some of records) yield readAll(some);
    },
  };

  function readAll(some: readonly RawRecord[]): ReadBatch {
    const batch: ReadBatch = { rows: [], rejects: [] };
    parseRecords(some, delimiter).forEach((row, i) => {
      const { line, text } = some[i] as RawRecord;
      const found = row instanceof Error ? row.message : read(row);
      if (typeof found === 'string') batch.rejects.push({ line, reason: found, row: text });
      else batch.rows.push(found);
    });
    return batch;
  }
}

/** Makes what reads one row: an order, or why it can't be used. */
function rowReaderOf(
  mapping: Mapping,
  header: readonly string[],
  context: RowContext,
): (row: string[]) => ReadRow | string {
  const twice = header.find((column, i) => header.indexOf(column) !== i && namesOf(mapping).includes(column));
  if (twice !== undefined) throw new Error(`The file has two columns called ${twice}; which one is meant?`);
  const sources = [...mapping.fields].map(
    ([field, source]) =>
      [field, source, source.column === undefined ? -1 : header.indexOf(source.column)] as const,
  );

  return (row) => {
    if (row.length !== header.length) return `expected ${header.length} columns, got ${row.length}`;
    try {
      const fields: Record<string, string> = {};
      for (const [field, source, at] of sources) fields[field] = valueOf(field, source, row[at] ?? '');
      return mapping.reader.read(fields, context);
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      return `${mapping.fields.get(error.field)?.column ?? error.field}: ${error.message}`;
    }
  };
}

const namesOf = ({ fields }: Mapping) => [...fields.values()].map(({ column }) => column);

function valueOf(field: string, source: FieldSource, cell: string): string {
  const value = cell.trim();
  if (value === '') return source.default ?? '';
  if (value.includes('\0')) throw new BadField(field, 'has a NUL, which no text may have');
  if (value.includes('\ufffd')) throw new BadField(field, "has bytes that aren't of the file's encoding");
  if (!source.values) return value;
  const translated = source.values.get(value.toLowerCase());
  if (translated === undefined)
    throw new BadField(
      field,
      `unknown ${field} ${shown(value)}: the mapping knows ${[...source.values.keys()].join(', ')}`,
    );
  return translated;
}
