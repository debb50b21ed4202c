import type { RawRecord } from '../../import/records.ts';
import type { Row } from './row.ts';

/** What a file may be, and the media type that says so. */
export const formats = { csv: 'text/csv', ndjson: 'application/x-ndjson' } as const;
export type Format = keyof typeof formats;

/** A file of orders that comes in. */
export interface ImportFile {
  /** Its format, and what else decides how its rows read: the line with the names of the columns. */
  head: string;
  /** Its records, some at a time, without empty lines; to be walked through once. */
  batches: AsyncGenerator<RawRecord[]>;
  /** Reads records: one row each, in order. */
  rowsOf(records: readonly RawRecord[]): Row[];
}
