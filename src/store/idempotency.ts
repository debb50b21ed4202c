import { column } from './batch.ts';
import type { Sql, Tx } from './store.ts';

/** One idempotency key of a seller. */
export interface IdempotencyKey {
  sellerId: string;
  idempotencyKey: string;
}

/**
 * Takes the locks of idempotency keys until the transaction ends; for each, in order, false if somebody else has it.
 *
 * Two keys may share a lock, once in 2^64: one of them is then told to come again.
 */
export async function tryIdempotencyLocks(tx: Tx, keys: readonly IdempotencyKey[]): Promise<boolean[]> {
  const rows = await tx.rows<[boolean]>(
    `select pg_try_advisory_xact_lock(hashtextextended(key, 0))
     from unnest($1::text[]) with ordinality as k (key, i) order by i`,
    [
      column(keys, ({ sellerId, idempotencyKey }) =>
        JSON.stringify(['idempotency', sellerId, idempotencyKey]),
      ) ?? '{}',
    ],
  );
  return rows.map(([locked]) => locked);
}

/** What is needed to answer a repeated request as the first one was. */
export interface NoticeOfKey {
  noticeId: string;
  path: string;
  orders: number;
  duplicates: number;
  bodyHash: Buffer;
}

/** Finds the notices that were posted with these idempotency keys; for each, in order, undefined if there is none. */
export async function noticesOfKeys(
  db: Sql,
  keys: readonly IdempotencyKey[],
): Promise<(NoticeOfKey | undefined)[]> {
  const rows = await db.query<NoticeOfKey & { i: number }>(
    `select k.i::int, notice_id "noticeId", path, orders, duplicates, body_hash "bodyHash"
     from unnest($1::text[], $2::text[]) with ordinality as k (seller_id, idempotency_key, i)
     join notices n on n.seller_id = k.seller_id and n.idempotency_key = k.idempotency_key`,
    [
      column(keys, ({ sellerId }) => sellerId) ?? '{}',
      column(keys, ({ idempotencyKey }) => idempotencyKey) ?? '{}',
    ],
  );
  const all = keys.map((): NoticeOfKey | undefined => undefined);
  for (const { i, ...notice } of rows) all[i - 1] = notice;
  return all;
}
