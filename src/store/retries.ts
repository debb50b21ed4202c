import { batchOf, isStorable, keyColumns, type OrderKey, readColumns, selectColumns } from './batch.ts';
import { settleGroups } from './failureGroups.ts';
import { theseIds } from './failureIds.ts';
import { lockGroupsOf, moveFailures } from './failureItems.ts';
import type { OperationState } from './failureOperations.ts';
import type { LedgerState } from './ledger.ts';
import { type Sql, type Store, transaction } from './store.ts';

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
    await lockGroupsOf(tx, theseIds(ends.map(({ failureId }) => failureId)));
    const touched: string[] = [];
    for (const operationId of new Set(ends.map((end) => end.operationId)))
      for (const state of ['resolved', 'failed_again'] as const) {
        const ids = ends.filter((end) => end.operationId === operationId && end.state === state);
        if (ids.length === 0) continue;
        const { groupIds } = await moveFailures(tx, theseIds(ids.map(({ failureId }) => failureId)), {
          from: 'retrying',
          to: state,
          inHandOf: operationId,
          item: state,
        });
        touched.push(...groupIds);
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
