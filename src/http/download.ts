import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { csvLine } from './csv.ts';

/** All of a list as CSV. */
export interface Download<Row> {
  filename: string;
  columns: readonly string[];
  /** Reads the rows behind one of them, or the first ones, in order, at most `limit`. */
  rowsAfter: (row: Row | undefined, limit: number) => Promise<Row[]>;
  fieldsOf: (row: Row) => readonly (string | null)[];
}

/** So many rows are read at once. Two such pieces of CSV wait in memory where a reader takes none. */
const rowsAtOnce = 1_000;

/**
 * Streams a list as CSV, as fast as its reader takes it: while he takes nothing, nothing more is read. One who takes
 * nothing for `idleMs` is cut off: he would keep what waits for him without end.
 */
export function sendCsv<Row>(reply: FastifyReply, download: Download<Row>, idleMs: number): FastifyReply {
  // Node destroys the connection then. What is injected has none.
  if (reply.request.raw.socket instanceof Socket) reply.raw.setTimeout(idleMs);
  return reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', `attachment; filename="${download.filename}"`)
    .send(Readable.from(linesOf(download), { objectMode: false }));
}

async function* linesOf<Row>({ columns, rowsAfter, fieldsOf }: Download<Row>): AsyncGenerator<string> {
  yield csvLine(columns);
  let last: Row | undefined;
  do {
    // The rows themselves are gone while their lines wait to be taken.
    const rows: Row[] = await rowsAfter(last, rowsAtOnce);
    last = rows.length < rowsAtOnce ? undefined : rows.at(-1);
    yield rows.map((row) => csvLine(fieldsOf(row))).join('');
  } while (last !== undefined);
}
