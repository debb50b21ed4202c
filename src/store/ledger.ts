import type { RejectReason, ShipDate, WantedDelay } from '../rules/notice.ts';
import type { Order, OrderStatus } from '../rules/order.ts';
import { column } from './columns.ts';
import type { Sql, Tx } from './store.ts';

/** What became of one order of one notice. `delayed` is the only state in which there is still work to do. */
export type LedgerState = 'rejected' | 'delayed' | 'notified' | 'undeliverable' | 'unconfirmed' | 'failed';

/** One order of one notice. */
export interface OrderKey {
  noticeId: string;
  sellerId: string;
  orderId: string;
}

/** What is there for a key; `state` is undefined where the ledger has no row, `order` where there is none. */
export interface Found {
  state: LedgerState | undefined;
  order: Order | undefined;
}

/** What is there for a key, its order locked. */
export interface Locked extends Found {
  /** Where the order's row lies, which holds as long as the lock: half the price of looking it up again. */
  tid?: string | undefined;
}

/** What was judged of one order: delayed, or rejected if there is a reason. */
export interface Verdict {
  wanted: WantedDelay;
  rejectReason: RejectReason | undefined;
  /** The date the customer had; undefined if there is no such order. */
  oldShipDate: ShipDate | undefined;
}

/** The keys of a batch as three arrays, for `unnest($1::uuid[], $2::text[], $3::text[])`. */
export const keyColumns = (keys: readonly OrderKey[]): [string, string, string] => [
  column(keys, (key) => key.noticeId),
  column(keys, (key) => key.sellerId),
  column(keys, (key) => key.orderId),
];

type FoundRow = [
  i: number,
  state: LedgerState | null,
  status: OrderStatus | null,
  promised: ShipDate,
  expected: ShipDate,
  delayCount: number,
  lastNoticeId: string | null,
  tid: string | null,
];

// Each lateral subquery with its `offset 0` stays one lookup by primary key per row of the batch, whatever the
// planner believes of the tables' sizes: never a join that reads the whole table.
const read = (from: string, lock: string) => `
  select k.i::int, l.state, o.status, o.promised_ship_date, o.expected_ship_date, o.delay_count, o.last_notice_id,
         o.tid
  from ${from}
  left join lateral (
    select *, ctid as tid from orders o where o.seller_id = k.seller_id and o.order_id = k.order_id ${lock}
  ) o on true
  left join lateral (
    select l.state from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
  ) l on true`;

const batch =
  'unnest($1::uuid[], $2::text[], $3::text[]) with ordinality as k (notice_id, seller_id, order_id, i)';
// The rows are locked as the loop comes to them: in this order, the same in every process, so that two batches
// over the same orders queue up and never deadlock.
const sorted = `(select * from ${batch} order by seller_id collate "C", order_id collate "C") k`;
const readOnly = read(batch, 'offset 0');
const readAndLock = read(sorted, 'for update');

/** Reads orders and their ledger rows; one answer per key, in the order of the keys. */
export async function readOrders(db: Sql, keys: readonly OrderKey[]): Promise<Found[]> {
  return found(keys, await db.rows<FoundRow>(readOnly, keyColumns(keys)));
}

/**
 * Reads as `readOrders` does and locks the orders until the transaction ends.
 *
 * The orders are as they are under the lock. The ledger is as it was when the statement began, before it
 * waited for locks: whoever writes must look out for rows that came in meanwhile (`StaleRead`).
 */
export async function lockOrders(tx: Tx, keys: readonly OrderKey[]): Promise<Locked[]> {
  const rows = await tx.rows<FoundRow>(readAndLock, keyColumns(keys));
  const locked: Locked[] = found(keys, rows);
  for (const row of rows) {
    const one = locked[row[0] - 1];
    if (one) one.tid = row[7] ?? undefined;
  }
  return locked;
}

function found(keys: readonly OrderKey[], rows: readonly FoundRow[]): Found[] {
  const all = keys.map((): Found => ({ state: undefined, order: undefined }));
  for (const [i, state, status, promisedShipDate, expectedShipDate, delayCount, lastNoticeId] of rows) {
    const { sellerId, orderId } = keys[i - 1] as OrderKey;
    const order = status && {
      sellerId,
      orderId,
      status,
      promisedShipDate,
      expectedShipDate,
      delayCount,
      lastNoticeId,
    };
    all[i - 1] = { state: state ?? undefined, order: order ?? undefined };
  }
  return all;
}

/** The arrays that `insertVerdicts` takes: `$1` to `$8`. */
export const verdictColumns = (verdicts: readonly Verdict[]): string[] => [
  ...keyColumns(verdicts.map(({ wanted }) => wanted)),
  column(verdicts, ({ rejectReason }) => rejectReason),
  column(verdicts, ({ oldShipDate }) => oldShipDate),
  column(verdicts, ({ wanted }) => wanted.newShipDate),
  column(verdicts, ({ wanted }) => wanted.reason),
  column(verdicts, ({ wanted }) => wanted.detail),
];

/**
 * Writes verdicts into the ledger; fails with a unique violation where it has a row already.
 *
 * In one order as well, since two inserts of one key wait for each other.
 */
export const insertVerdicts = `
  insert into ledger (notice_id, seller_id, order_id, state, reject_reason, old_ship_date, new_ship_date,
                      reason, detail, settled_at)
  select notice_id, seller_id, order_id,
         case when reject_reason is null then 'delayed' else 'rejected' end::ledger_state,
         reject_reason, old_ship_date, new_ship_date, reason, detail,
         case when reject_reason is not null then now() end
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::date[], $6::date[], $7::text[], $8::text[])
    as k (notice_id, seller_id, order_id, reject_reason, old_ship_date, new_ship_date, reason, detail)
  order by notice_id, order_id collate "C"`;

/** Writes rejects into the ledger, where it has no row yet. */
export async function writeRejects(db: Sql, rejects: readonly Verdict[]): Promise<void> {
  if (rejects.length > 0)
    await db.query(`${insertVerdicts} on conflict (notice_id, order_id) do nothing`, verdictColumns(rejects));
}
