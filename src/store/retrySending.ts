import { redeliveredHeader, retryName } from '../failures/retryName.ts';
import { parseChunk } from '../rules/message.ts';
import { chunksIn, failedOrdersOf, type SalvagedOrder } from '../rules/salvage.ts';
import {
  batchOf,
  column,
  isStorable,
  keyColumns,
  type OrderKey,
  readColumns,
  selectColumns,
} from './batch.ts';
import { settleGroups } from './failureGroups.ts';
import { endItems, groupsOf, lockGroupsOf, moveFailures } from './failureItems.ts';
import type { OperationState } from './failureOperations.ts';
import type { LedgerState } from './ledger.ts';
import { type Sql, type Store, type Tx, transaction } from './store.ts';

/** A retry that still has something to do, and how far it is. */
export interface RunningRetry {
  operationId: string;
  /** Not `running`: nothing more is sent, but what was sent has not ended yet. */
  state: OperationState;
  canary: number;
  ratePerSecond: number | null;
  stopAfter: number;
  waiting: number;
  /** Sent, and not ended yet. */
  sent: number;
  resolved: number;
  failedAgain: number;
}

/** Finds the retries that still have something to do, the oldest first. */
export async function runningRetries(db: Sql): Promise<RunningRetry[]> {
  return db.query<RunningRetry>(
    `select o.operation_id as "operationId", o.state, (detail ->> 'canary')::int as canary,
            (detail ->> 'ratePerSecond')::float as "ratePerSecond", (detail ->> 'stopAfter')::int as "stopAfter", c.*
     from (
       select operation_id from failure_operations where state = 'running'
       union
       select operation_id from failure_operation_items where state = 'sent'
     ) r
     join failure_operations o using (operation_id)
     cross join lateral (
       select count(*) filter (where i.state = 'waiting')::int as waiting,
              count(*) filter (where i.state = 'sent')::int as sent,
              count(*) filter (where i.state = 'resolved')::int as resolved,
              count(*) filter (where i.state = 'failed_again')::int as "failedAgain"
       from failure_operation_items i where i.operation_id = o.operation_id
     ) c
     order by o.operation_id`,
  );
}

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
 * Takes the next failures of a running retry, in the order of their ids, at most `limit`: their orders get back the
 * state that they failed from, in the transaction that marks the failures as sent. Returns those to be published;
 * what goes to the legacy run is in `intake` by then.
 *
 * Orders that are settled are left alone: the steps will skip them.
 */
export function takeNext(store: Store, operationId: string, limit: number): Promise<Resend[]> {
  return transaction(store, async (tx) => {
    const [operation] = await tx.query<{ path: string | null }>(
      `select detail ->> 'path' as path from failure_operations
       where operation_id = $1 and state = 'running' for update`,
      [operationId],
    );
    if (!operation) return [];
    const next = await tx.query<Resend>(
      `${selectResends} where i.operation_id = $1 and i.state = 'waiting' order by i.failure_id limit $2`,
      [operationId, limit],
    );
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
    await tx.query(
      `update failure_operation_items
       set state = 'sent', sent_at = now(), published_at = case when failure_id = any($3) then now() end
       where operation_id = $1 and failure_id = any($2)`,
      [operationId, next.map(({ failureId }) => failureId), handedOver.map(({ failureId }) => failureId)],
    );
    return next.filter((each) => !handedOver.includes(each));
  });
}

/** Finds what was taken but, as far as is known, not published: whoever took it may have died. */
export function unpublished(db: Sql, operationId: string, limit: number): Promise<Resend[]> {
  return db.query<Resend>(
    `${selectResends} where i.operation_id = $1 and i.state = 'sent' and i.published_at is null
     order by i.failure_id limit $2`,
    [operationId, limit],
  );
}

const selectResends = `
  select i.operation_id as "operationId", i.failure_id as "failureId", f.step, f.lane,
         case when i.body is null then f.type end as type, f.headers, coalesce(i.body, f.body) as body
  from failure_operation_items i join failures f using (failure_id)`;

/** Records that RabbitMQ has confirmed the messages. */
export async function markPublished(
  db: Sql,
  operationId: string,
  failureIds: readonly string[],
): Promise<void> {
  await db.query(
    `update failure_operation_items set published_at = now()
     where operation_id = $1 and failure_id = any($2) and published_at is null`,
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

/** A failure that was sent and whose retry has not ended, as far as is known. */
export interface Undecided {
  operationId: string;
  failureId: string;
  step: string;
  body: Buffer;
}

/** Finds retries of failures that have not ended: at most `limit`, of those after `after`. */
export function undecided(
  db: Sql,
  operationId: string,
  { limit, after }: { limit: number; after: string },
): Promise<Undecided[]> {
  return db.query<Undecided>(
    `select i.operation_id as "operationId", i.failure_id as "failureId", f.step, coalesce(i.body, f.body) as body
     from failure_operation_items i join failures f using (failure_id)
     where i.operation_id = $1 and i.state = 'sent' and i.published_at is not null and i.failure_id > $3
     order by i.failure_id limit $2`,
    [operationId, limit, after],
  );
}

/** Reads the ledger's states of orders, in their order; undefined where it has no row. */
export async function ledgerStatesOf(
  db: Sql,
  keys: readonly OrderKey[],
): Promise<(LedgerState | undefined)[]> {
  const states = keys.map((): LedgerState | undefined => undefined);
  const storable = keys.map((key, at) => ({ key, at })).filter(({ key }) => isStorable(key));
  if (storable.length === 0) return states;
  const [places = [], found] = await readColumns(
    db,
    `${selectColumns(['k.i', 'l.state'])} from ${batchOf()} k
     join lateral (
       select l.state from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
     ) l on true`,
    keyColumns(storable.map(({ key }) => key)),
  );
  places.forEach((place, i) => {
    const { at } = storable[Number(place) - 1] ?? { at: -1 };
    states[at] = found?.[i] as LedgerState;
  });
  return states;
}

/** How the retry of a failure ended. */
export interface RetryEnd {
  operationId: string;
  failureId: string;
  state: 'resolved' | 'failed_again';
}

/** Records how retries ended; one that is recorded already, or is in another operation's hand, is left alone. */
export async function recordEnds(store: Store, ends: readonly RetryEnd[]): Promise<void> {
  if (ends.length === 0) return;
  await transaction(store, async (tx) => {
    await lockGroupsOf(
      tx,
      ends.map(({ failureId }) => failureId),
    );
    const touched: string[] = [];
    for (const operationId of new Set(ends.map((end) => end.operationId)))
      for (const state of ['resolved', 'failed_again'] as const) {
        const ids = ends.filter((end) => end.operationId === operationId && end.state === state);
        if (ids.length === 0) continue;
        const moved = await moveFailures(
          tx,
          ids.map(({ failureId }) => failureId),
          { from: 'retrying', to: state, inHandOf: operationId },
        );
        await endItems(tx, operationId, moved, state);
        touched.push(...groupsOf(moved));
      }
    await settleGroups(tx, touched);
  });
}

/** Ends the running retries that have nothing left to send or to wait for; returns their ids. */
export async function finishRetries(db: Sql): Promise<string[]> {
  const rows = await db.rows<[string]>(
    `update failure_operations o set state = 'done', ended_at = now()
     where state = 'running' and not exists (
       select from failure_operation_items i where i.operation_id = o.operation_id and i.state in ('waiting', 'sent')
     ) returning operation_id`,
  );
  return rows.map(([operationId]) => operationId);
}
