import { createHash } from 'node:crypto';
import type { RawRecord } from '../../import/records.ts';
import type { NoticeHeader, NoticeOrder } from '../../rules/notice.ts';
import type { ImportState, RejectedRow } from '../../store/imports.ts';
import type { IntakeChunk } from '../../store/intake.ts';
import { invalidRequest, Problem } from '../problem.ts';
import { DistinctOrders } from './distinct.ts';
import type { ImportFile } from './file.ts';
import { withPauses } from './pauses.ts';
import { isRejected, type OrderRow, type Row } from './row.ts';

/** Rows that are stored together, in one transaction. */
export interface Group {
  header: NoticeHeader;
  chunks: Pick<IntakeChunk, 'chunkNo' | 'chunk' | 'orders'>[];
  /** Those that are to be listed; `state` counts all. */
  rejected: RejectedRow[];
  /** How far the import is once this is stored. */
  state: ImportState;
  /** The file ends here. */
  last: boolean;
}

export interface GroupOptions {
  /** What is safe already: the rows that the file must begin with, and that are passed over. */
  known: { header: NoticeHeader; state: ImportState } | undefined;
  /** Makes the header of a notice whose first good row this is; without a detail, which rows that have none would inherit. */
  headerFor: (row: OrderRow) => NoticeHeader;
  chunkSize: number;
  /** Chunks in a group, at most. */
  groupChunks: number;
  /** Distinct orders of the file; rows beyond are rejected. */
  maxOrders: number;
  /** Rejected rows that are listed, at most. */
  maxListed: number;
  /** Without a row for so long, what there is makes a group; in ms. */
  pauseMs: number;
  /** Called once the file has been seen to begin with the rows that are known. */
  onKnown: () => void;
}

const nothing: ImportState = {
  rows: 0,
  chunks: 0,
  orders: 0,
  duplicates: 0,
  rejectedRows: 0,
  hash: Buffer.alloc(0),
};
/** After so many rows of which none can be used a file is refused, and not read to its end. */
const mostRowsInVain = 10_000;
/** Rows in a group, for each order that it may have: a file of repeats shall get on, too. */
const rowsPerOrder = 5;

/**
 * Cuts a file into groups of whole chunks. The last one ends the file, and may be empty.
 *
 * Holds one group, and a set of the orders seen. Throws the problems `idempotency-key-reused` if the file doesn't
 * begin with what is known, and `invalid-request` if none of its rows can be used, or none of the first 10,000.
 */
export async function* groupsOf(file: ImportFile, options: GroupOptions): AsyncGenerator<Group> {
  const { known, chunkSize, groupChunks, maxOrders, maxListed, pauseMs, onKnown } = options;
  const hash = createHash('sha256').update(file.head);
  const seen = new DistinctOrders();
  let header = known?.header;
  let headerText = JSON.stringify(header);
  let state: ImportState = { ...(known?.state ?? nothing) };
  let toPass = known?.state.rows ?? 0;
  let items: NoticeOrder[] = [];
  let group = { chunks: [] as Group['chunks'], rejected: [] as RejectedRow[], orders: 0, rows: 0 };

  for await (const batch of withPauses(file.batches, pauseMs)) {
    if (batch === undefined) {
      if (group.rows > 0 && header) yield cut(header, false);
      continue;
    }
    const records = toPass > 0 ? pass(batch) : batch;
    for (let from = 0; from < records.length; ) {
      from = take(records, from);
      if (header && (group.orders >= groupChunks * chunkSize || from < records.length))
        yield cut(header, false);
    }
  }
  if (toPass > 0) throw anotherFile();
  if (!header) throw nothingToUse(state.rows, group.rejected);
  yield cut(header, true);

  /** Checks rows that are safe already, remembers their orders, and returns the rows behind them. */
  function pass(batch: readonly RawRecord[]): readonly RawRecord[] {
    const safe = batch.slice(0, toPass);
    hash.update(textOf(safe));
    for (const row of file.rowsOf(safe))
      if (!isRejected(row) && seen.size < maxOrders) seen.add(row.orderId, wishOf(row));
    toPass -= safe.length;
    if (toPass === 0) {
      if (!hash.copy().digest().equals(state.hash)) throw anotherFile();
      onKnown();
    }
    return batch.slice(safe.length);
  }

  /** Takes rows until the group is full; returns the place behind them. */
  function take(records: readonly RawRecord[], from: number): number {
    const rows = file.rowsOf(from === 0 ? records : records.slice(from));
    let taken = 0;
    while (taken < rows.length && !isFull()) {
      takeRow(rows[taken] as Row, (records[from + taken] as RawRecord).line);
      taken++;
    }
    if (taken > 0) hash.update(textOf(records.slice(from, from + taken)));
    return from + taken;
  }

  function isFull(): boolean {
    const orders = groupChunks * chunkSize;
    return group.orders >= orders || (header !== undefined && group.rows >= orders * rowsPerOrder);
  }

  function takeRow(row: Row, line: number): void {
    state.rows++;
    group.rows++;
    if (isRejected(row)) return reject(row);
    if (seen.size >= maxOrders && !seen.has(row.orderId)) return reject(tooMany(row, line, maxOrders));
    const found = seen.add(row.orderId, wishOf(row));
    if (found === 'conflict') return reject(conflicting(row, line));
    if (found === 'repeat') {
      state.duplicates++;
      return undefined;
    }
    if (!header) {
      header = options.headerFor(row);
      headerText = JSON.stringify(header);
    }
    items.push(itemOf(row, header));
    state.orders++;
    group.orders++;
    if (items.length === chunkSize) endChunk();
  }

  function reject(row: RejectedRow): void {
    state.rejectedRows++;
    if (state.rejectedRows <= maxListed) group.rejected.push(row);
    if (!header && state.rows >= mostRowsInVain) throw nothingToUse(state.rows, group.rejected);
  }

  function endChunk(): void {
    if (items.length === 0) return;
    const chunk = `{"header":${headerText},"items":${JSON.stringify(items)}}`;
    group.chunks.push({ chunkNo: state.chunks++, chunk, orders: items.length });
    items = [];
  }

  function cut(header: NoticeHeader, last: boolean): Group {
    endChunk();
    const { chunks, rejected } = group;
    group = { chunks: [], rejected: [], orders: 0, rows: 0 };
    state = { ...state, hash: hash.copy().digest() };
    return { header, chunks, rejected, state: { ...state }, last };
  }
}

/** Tells whether a file is the one that was received as a whole; throws the problem `idempotency-key-reused` if not. */
export async function requireSameFile(
  file: ImportFile,
  { rows, hash: expected }: ImportState,
): Promise<void> {
  const hash = createHash('sha256').update(file.head);
  let seen = 0;
  for await (const batch of file.batches) {
    seen += batch.length;
    if (seen > rows) throw anotherFile();
    hash.update(textOf(batch));
  }
  if (seen < rows || !hash.digest().equals(expected)) throw anotherFile();
}

const textOf = (records: readonly RawRecord[]) => `${records.map(({ text }) => text).join('\n')}\n`;

/** An order as it travels: what is its own, and not the header's. */
function itemOf({ orderId, newShipDate, reason, detail }: OrderRow, header: NoticeHeader): NoticeOrder {
  const item: NoticeOrder = { orderId };
  if (newShipDate !== header.newShipDate) item.newShipDate = newShipDate;
  if (reason !== header.reason) item.reason = reason;
  if (detail !== undefined) item.detail = detail;
  return item;
}

/** A number of what a row wants of its order (FNV-1a). */
function wishOf({ newShipDate, reason, detail = '' }: OrderRow): number {
  let hash = 0x811c9dc5;
  for (const text of [newShipDate, reason, detail])
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

const conflicting = ({ orderId }: OrderRow, line: number): RejectedRow => ({
  line,
  orderId,
  expected: 'each order once: the first row of an order counts',
  got: 'another date, reason or detail than in its first row',
});

const tooMany = ({ orderId }: OrderRow, line: number, maxOrders: number): RejectedRow => ({
  line,
  orderId,
  expected: `at most ${maxOrders.toLocaleString('en-US')} orders in one file`,
  got: 'one more: split the file',
});

const anotherFile = () =>
  new Problem(
    'idempotency-key-reused',
    'Another file was sent with this Idempotency-Key, or another request. Send a new key for a new file, and the same file to go on with it.',
  );

function nothingToUse(rows: number, rejected: readonly RejectedRow[]): Problem {
  if (rows === 0) return invalidRequest([{ pointer: '#', expected: 'at least one row', got: 'none' }]);
  return invalidRequest(
    rejected
      .slice(0, 8)
      .map(({ line, expected, got }) => ({ pointer: '#', expected, got: `${got} in line ${line}` })),
  );
}
