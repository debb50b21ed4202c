import { redeliveredHeader, retryName } from '../failures/retryName.ts';
import { parseChunk } from '../rules/message.ts';
import { chunksIn, failedOrdersOf, type SalvagedOrder } from '../rules/salvage.ts';
import { batchOf, column, isStorable, keyColumns } from './batch.ts';
import { bytesBefore, pageBytes } from './page.ts';
import { type Sql, type Store, type Tx, transaction } from './store.ts';

/** A failed message on its way back. */
export interface Resend {
  operationId: string;
  failureId: string;
  step: string;
  lane: string;
  type: string | null;
  /** Its marks are in there; see the pipeline's `Marks`. */
  headers: Record<string, unknown>;
  body: Buffer;
}

/**
 * Takes the next failures of a running retry, in the order of their ids, at most `limit`, and no more once they have
 * `pageBytes` together: their orders get back the state that they failed from, in the transaction that marks the
 * failures as sent. Tells how many it took, and returns those to be published; what goes to the legacy run is in
 * `intake` by then.
 *
 * Orders that are settled are left alone: the steps will skip them.
 */
export function takeNext(
  store: Store,
  operationId: string,
  limit: number,
): Promise<{ taken: number; resends: Resend[] }> {
  return transaction(store, async (tx) => {
    const [operation] = await tx.query<{ path: string | null }>(
      `select detail ->> 'path' as path from failure_operations
       where operation_id = $1 and state = 'running' for update`,
      [operationId],
    );
    if (!operation) return { taken: 0, resends: [] };
    const next = await readPage(tx, `i.state = 'waiting'`, { operationId, limit });
    await restoreFailed(
      tx,
      next.flatMap(({ body, headers }) => {
        // Surely never sent: the gateway can't have forgotten what it never got.
        const unsent = headers[redeliveredHeader] !== 1;
        return failedOrdersOf(body)
          .filter(isStorable)
          .map((order) => ({ ...order, unsent }));
      }),
    );
    const handedOver = next.filter(({ step }) => operation.path === 'legacy' || step === 'legacy');
    await insertForLegacy(tx, handedOver);
    // The coalesce hides the operation from the planner; see failureItems.ts.
    await tx.query(
      `update failure_operation_items
       set state = 'sent', sent_at = now(), published_at = case when failure_id = any($3) then now() end
       where coalesce(operation_id = $1, false) and failure_id = any($2)`,
      [operationId, next.map(({ failureId }) => failureId), handedOver.map(({ failureId }) => failureId)],
    );
    return { taken: next.length, resends: next.filter((each) => !handedOver.includes(each)) };
  });
}

/**
 * Finds what was taken but, as far as is known, not published: whoever took it may have died. At most `limit`, and no
 * more once they have `pageBytes` together.
 */
export function unpublished(db: Sql, operationId: string, limit: number): Promise<Resend[]> {
  return readPage(db, `i.state = 'sent' and i.published_at is null`, { operationId, limit });
}

/**
 * Finds what was published and whose retry has not ended, as far as is known: of those after `after`, at most `limit`,
 * and no more once they have `pageBytes` together. So only an empty page is the last one.
 */
export function undecided(
  db: Sql,
  operationId: string,
  { limit, after }: { limit: number; after: string },
): Promise<Resend[]> {
  return readPage(db, `i.state = 'sent' and i.published_at is not null`, { operationId, limit, after });
}

function readPage(
  db: Sql,
  where: string,
  { operationId, limit, after = '0' }: { operationId: string; limit: number; after?: string },
): Promise<Resend[]> {
  return db.query<Resend>(
    `select "operationId", "failureId", step, lane, type, headers, body
     from (
       select i.operation_id as "operationId", i.failure_id as "failureId", f.step, f.lane,
              case when i.body is null then f.type end as type, f.headers, coalesce(i.body, f.body) as body,
              ${bytesBefore('octet_length(coalesce(i.body, f.body))', 'i.failure_id')} as before
       from failure_operation_items i join failures f using (failure_id)
       where i.operation_id = $1 and ${where} and i.failure_id > $3
       order by i.failure_id limit $2
     ) page
     where before < ${pageBytes}
     order by "failureId"`,
    [operationId, limit, after],
  );
}

/** Records that RabbitMQ has confirmed the messages. */
export async function markPublished(
  db: Sql,
  operationId: string,
  failureIds: readonly string[],
): Promise<void> {
  await db.query(
    `update failure_operation_items set published_at = now()
     where coalesce(operation_id = $1, false) and failure_id = any($2) and published_at is null`,
    [operationId, failureIds],
  );
}

/**
 * Gives orders that are `failed` back the state before it: `delayed`, or no row at all. The age of what was surely
 * never sent counts from now, so that a delivery which is repeated from here on is a young one. An order that fails
 * between the two statements, having had no row, stays as it is: it has a failure of its own.
 */
async function restoreFailed(
  tx: Tx,
  orders: readonly (SalvagedOrder & { unsent: boolean })[],
): Promise<void> {
  if (orders.length === 0) return;
  const columns = keyColumns(orders);
  // The coalesce hides the state from the planner; see sending.ts.
  const those = `l.notice_id = k.notice_id and l.order_id = k.order_id and l.seller_id = k.seller_id
    and coalesce(l.state = 'failed', false)`;
  await tx.query(
    `delete from ledger l using ${batchOf()} k where ${those} and l.failed_from is null`,
    columns,
  );
  await tx.query(
    `update ledger l
     set state = l.failed_from, failed_from = null, settled_at = null,
         retried_at = case when k.unsent then now() else l.retried_at end
     from ${batchOf({ unsent: 'boolean' })} k where ${those} and l.failed_from is not null`,
    [...columns, column(orders, ({ unsent }) => String(unsent))],
  );
}

/** Hands the chunks of messages to the legacy run, as chunks of its path with the next numbers of their notices. */
async function insertForLegacy(tx: Tx, resends: readonly Resend[]): Promise<void> {
  const chunks = resends.flatMap((resend) =>
    chunksIn(resend.body).map((value) => {
      const { header, items } = parseChunk(value);
      const chunk = JSON.stringify({ header: { ...header, path: 'legacy' }, items });
      return { noticeId: header.noticeId, lane: resend.lane, chunk, retry: retryName(resend) };
    }),
  );
  if (chunks.length === 0) return;
  const noticeIds = chunks.map(({ noticeId }) => noticeId);
  // Locked, so that two who hand over chunks of one notice take different numbers.
  await tx.query('select from notices where notice_id = any($1) order by notice_id for update', [noticeIds]);
  await tx.query(
    `insert into intake (notice_id, chunk_no, path, lane, chunk, retry)
     select k.notice_id,
            (select coalesce(max(chunk_no), -1) from intake where notice_id = k.notice_id)
              + (row_number() over (partition by k.notice_id order by k.i))::int,
            'legacy', k.lane, k.chunk, k.retry
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) with ordinality
       as k (notice_id, lane, chunk, retry, i)`,
    [
      noticeIds,
      column(chunks, ({ lane }) => lane),
      column(chunks, ({ chunk }) => chunk),
      column(chunks, ({ retry }) => retry),
    ],
  );
}
