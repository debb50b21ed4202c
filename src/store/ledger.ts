import type { RejectReason, ShipDate, WantedDelay } from '../rules/notice.ts';
import type { Order, OrderStatus } from '../rules/order.ts';
import {
  batchOf,
  column,
  keyColumns,
  lookUpColumns,
  type OrderKey,
  readColumns,
  selectColumns,
} from './batch.ts';
import type { Sql, Store, Tx } from './store.ts';

/** What became of one order of one notice. `delayed` is the only state in which there is still work to do. */
export type LedgerState = 'rejected' | 'delayed' | 'notified' | 'undeliverable' | 'unconfirmed' | 'failed';

/** What is there for a key; `state` is undefined where the ledger has no row, `order` where there is none. */
export interface Found {
  state: LedgerState | undefined;
  order: Order | undefined;
  /** The version of the order's row: whoever changes it makes another. Undefined where there is none. */
  version: string | undefined;
}

/** An order that can't be delayed, and why. */
export interface Reject {
  wanted: WantedDelay;
  rejectReason: RejectReason;
  /** The date the customer had; undefined if there is no such order. */
  oldShipDate: ShipDate | undefined;
}

// Each lateral subquery with its `offset 0` stays one lookup by primary key per row of the batch, whatever the
// planner believes of the tables' sizes: never a join that reads the whole table.
const read = (from: string, lock: string) => `
  ${selectColumns(['k.i', 'l.state', 'o.status', 'o.promised_ship_date', 'o.expected_ship_date', 'o.delay_count', 'o.last_notice_id', 'o.version'])}
  from ${from} k
  left join lateral (
    select status, promised_ship_date, expected_ship_date, delay_count, last_notice_id, xmin as version
    from orders o where o.seller_id = k.seller_id and o.order_id = k.order_id ${lock}
  ) o on true
  left join lateral (
    select l.state from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
  ) l on true`;

// The rows are locked as the loop comes to them: in this order, the same in every process, so that two batches
// over the same orders queue up and never deadlock.
const sorted = `(select * from ${batchOf()} k order by seller_id collate "C", order_id collate "C")`;
const readOnly = { name: 'read_orders', text: read(batchOf(), 'offset 0') };
const readAndLock = read(sorted, 'for update');

/** Reads orders and their ledger rows; one answer per key, in the order of the keys. */
export async function readOrders(store: Store, keys: readonly OrderKey[]): Promise<Found[]> {
  return found(keys, await lookUpColumns(store, readOnly, keyColumns(keys)));
}

/**
 * Reads as `readOrders` does and locks the orders until the transaction ends.
 *
 * The orders are as they are under the lock. The ledger is as it was when the statement began, before it
 * waited for locks: whoever writes must look out for rows that came in meanwhile (`StaleRead`).
 */
export async function lockOrders(tx: Tx, keys: readonly OrderKey[]): Promise<Found[]> {
  return found(keys, await readColumns(tx, readAndLock, keyColumns(keys)));
}

function found(keys: readonly OrderKey[], columns: readonly string[][]): Found[] {
  const [places = [], states, statuses, promised, expected, delayCounts, lastNoticeIds, versions] = columns;
  const all = keys.map((): Found => ({ state: undefined, order: undefined, version: undefined }));
  places.forEach((place, at) => {
    const { sellerId, orderId } = keys[Number(place) - 1] as OrderKey;
    const one = all[Number(place) - 1] as Found;
    one.state = (states?.[at] || undefined) as LedgerState | undefined;
    if (!statuses?.[at]) return;
    one.order = {
      sellerId,
      orderId,
      status: statuses[at] as OrderStatus,
      promisedShipDate: promised?.[at] as ShipDate,
      expectedShipDate: expected?.[at] as ShipDate,
      delayCount: Number(delayCounts?.[at]),
      lastNoticeId: lastNoticeIds?.[at] || null,
    };
    one.version = versions?.[at];
  });
  return all;
}

/** Writes rejects into the ledger; fails with a unique violation where it has a row already. */
export const insertRejects = `
  insert into ledger (notice_id, seller_id, order_id, state, reject_reason, old_ship_date, new_ship_date,
                      reason, detail, settled_at)
  select notice_id, seller_id, order_id, 'rejected', reject_reason, old_ship_date, new_ship_date,
         reason, detail, now()
  from ${batchOf({ reject_reason: 'text', old_ship_date: 'date', new_ship_date: 'date', reason: 'text', detail: 'text' })} k
  order by seller_id collate "C", order_id collate "C", notice_id`;

/** The arrays that `insertRejects` takes. */
export const rejectColumns = (rejects: readonly Reject[]) => [
  ...keyColumns(rejects.map(({ wanted }) => wanted)),
  column(rejects, ({ rejectReason }) => rejectReason),
  column(rejects, ({ oldShipDate }) => oldShipDate),
  column(rejects, ({ wanted }) => wanted.newShipDate),
  column(rejects, ({ wanted }) => wanted.reason),
  column(rejects, ({ wanted }) => wanted.detail),
];

/** Writes rejects into the ledger, where it has no row yet. */
export async function writeRejects(db: Sql, rejects: readonly Reject[]): Promise<void> {
  if (rejects.length > 0)
    await db.query(`${insertRejects} on conflict (notice_id, order_id) do nothing`, rejectColumns(rejects));
}

/** Reads from which state orders failed, in their order; undefined where they did not, or had no row before. */
export async function failedFromOf(db: Sql, keys: readonly OrderKey[]): Promise<(LedgerState | undefined)[]> {
  const all = keys.map((): LedgerState | undefined => undefined);
  const [places = [], states] = await readColumns(db, readFailedFrom, keyColumns(keys));
  places.forEach((place, at) => {
    all[Number(place) - 1] = (states?.[at] || undefined) as LedgerState | undefined;
  });
  return all;
}

const readFailedFrom = `
  ${selectColumns(['k.i', 'l.failed_from'])} from ${batchOf()} k
  join lateral (
    select l.failed_from from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
  ) l on true`;
