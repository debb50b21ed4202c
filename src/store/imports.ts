import type { NoticeHeader } from '../rules/notice.ts';
import { column } from './batch.ts';
import { storable } from './storable.ts';
import type { Sql, Tx } from './store.ts';

/** How far an import is: all rows of its file up to here are safe. */
export interface ImportState {
  /** Each is an order, a repeat or rejected. */
  rows: number;
  /** Chunks in `intake`. */
  chunks: number;
  /** Distinct orders. */
  orders: number;
  duplicates: number;
  rejectedRows: number;
  /** SHA-256 of those rows as they came, and of what names their columns. */
  hash: Buffer;
}

/** An import as it was left. */
export interface KnownImport extends ImportState {
  noticeId: string;
  lane: string;
  /** The same in each of its chunks: those of one notice may be packed together. */
  header: NoticeHeader;
  /** Its file came in to the end. */
  received: boolean;
}

/** A row of a file that can't be used. */
export interface RejectedRow {
  /** The number of its first line, from 1. */
  line: number;
  /** Null if that is what is wrong with it. */
  orderId: string | null;
  expected: string;
  got: string;
}

/**
 * Finds the import that a seller began with an idempotency key; `another notice` if the key was used for a notice
 * that is no import, undefined if it is new.
 */
export async function importOfKey(
  db: Sql,
  sellerId: string,
  idempotencyKey: string,
): Promise<KnownImport | 'another notice' | undefined> {
  const [row] = await db.query<Omit<KnownImport, 'header'> & { header: string | null }>(
    `select n.notice_id "noticeId", n.lane, n.orders, n.duplicates, n.received_at is not null received,
            i.header, i.rows, i.chunks, i.rejected_rows "rejectedRows", i.hash
     from notices n left join imports i using (notice_id)
     where n.seller_id = $1 and n.idempotency_key = $2`,
    [sellerId, idempotencyKey],
  );
  if (row === undefined) return undefined;
  const { header, ...rest } = row;
  return header === null ? 'another notice' : { ...rest, header: JSON.parse(header) as NoticeHeader };
}

/** Writes that an import has begun; call it in the transaction of its notice and its first chunks. */
export async function insertImport(tx: Tx, header: NoticeHeader, state: ImportState): Promise<void> {
  await tx.query(
    `insert into imports (notice_id, header, rows, chunks, rejected_rows, hash) values ($1, $2, $3, $4, $5, $6)`,
    [header.noticeId, JSON.stringify(header), state.rows, state.chunks, state.rejectedRows, state.hash],
  );
}

/**
 * Moves an import on, from `rows` rows that were safe; call it in the transaction of its next chunks, and roll that
 * back if it returns false: then somebody else has moved it on, and these chunks are in.
 */
export async function advanceImport(
  tx: Tx,
  noticeId: string,
  rows: number,
  state: ImportState,
  { received }: { received: boolean },
): Promise<boolean> {
  const moved = await tx.query(
    `with moved as (
       update imports set rows = $3, chunks = $4, rejected_rows = $5, hash = $6
       where notice_id = $1 and rows = $2 returning notice_id
     )
     update notices set orders = $7, duplicates = $8, received_at = case when $9 then now() end
     from moved where notices.notice_id = moved.notice_id and notices.received_at is null
     returning notices.notice_id`,
    [
      noticeId,
      rows,
      state.rows,
      state.chunks,
      state.rejectedRows,
      state.hash,
      state.orders,
      state.duplicates,
      received,
    ],
  );
  return moved.length === 1;
}

/** Writes rows that can't be used; call it in the transaction that moves their import on past them. */
export async function insertRejectedRows(
  tx: Tx,
  noticeId: string,
  rows: readonly RejectedRow[],
): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(
    `insert into import_rejects (notice_id, line, order_id, expected, got)
     select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::text[])`,
    [
      noticeId,
      column(rows, ({ line }) => line),
      column(rows, ({ orderId }) => storable(orderId)),
      column(rows, ({ expected }) => storable(expected)),
      column(rows, ({ got }) => storable(got)),
    ],
  );
}

/** Lists rows of an import that can't be used, by line: at most `limit`, after the line `after`. */
export async function rejectedRowsOf(
  db: Sql,
  noticeId: string,
  { after, limit }: { after: number; limit: number },
): Promise<RejectedRow[]> {
  return db.query<RejectedRow>(
    `select line, order_id "orderId", expected, got
     from import_rejects where notice_id = $1 and line > $2 order by line limit $3`,
    [noticeId, after, limit],
  );
}
