import { column } from './batch.ts';
import type { IntakeChunk } from './intake.ts';
import type { NewNotice, NoticeOfKey } from './notices.ts';
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

/** Writes notices with their chunks, whatever their number, in two statements and one round trip. */
export async function insertNotices(
  tx: Tx,
  notices: readonly (NewNotice & { chunks: readonly IntakeChunk[] })[],
): Promise<void> {
  if (notices.length === 0) return;
  const insertingNotices = tx.query(insertAll, [
    column(notices, ({ noticeId }) => noticeId),
    column(notices, ({ sellerId }) => sellerId),
    column(notices, ({ path }) => path),
    column(notices, ({ lane }) => lane),
    column(notices, ({ switchVersion }) => switchVersion),
    column(notices, ({ reason }) => reason),
    column(notices, ({ detail }) => detail),
    column(notices, ({ newShipDate }) => newShipDate),
    column(notices, ({ orders }) => orders),
    column(notices, ({ duplicates }) => duplicates),
    column(notices, ({ idempotencyKey }) => idempotencyKey),
    column(notices, ({ bodyHash }) => bodyHash?.toString('hex')),
  ]);
  const chunks = notices.flatMap((notice, at) =>
    notice.chunks.map((chunk) => ({ ...chunk, notice: at + 1 })),
  );
  const insertingChunks = tx.query(insertChunks, [
    column(notices, ({ noticeId }) => noticeId),
    column(notices, ({ path }) => path),
    column(notices, ({ lane }) => lane),
    column(chunks, ({ notice }) => notice),
    column(chunks, ({ chunkNo }) => chunkNo),
    chunks.map(({ chunk }) => chunk).join('\n'),
  ]);
  await Promise.all([insertingNotices, insertingChunks]);
}

const insertAll = `
  insert into notices (notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date,
                       orders, duplicates, idempotency_key, body_hash)
  select notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders, duplicates,
         idempotency_key, decode(body_hash, 'hex')
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::date[],
              $9::int[], $10::int[], $11::text[], $12::text[])
    as n (notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders, duplicates,
          idempotency_key, body_hash)`;

// The chunks go as lines of one text, since JSON on one line has no line breaks: an array of texts with so many
// quotes to escape takes Postgres ten times longer.
const insertChunks = `
  insert into intake (notice_id, path, lane, chunk_no, chunk)
  select ($1::uuid[])[c.notice], ($2::text[])[c.notice], ($3::text[])[c.notice], c.chunk_no, c.chunk
  from rows from (unnest($4::int[]), unnest($5::int[]), string_to_table($6, E'\\n')) as c (notice, chunk_no, chunk)`;
