import type { RejectReason } from '../rules/notice.ts';
import type { LedgerState } from './ledger.ts';
import type { Sql } from './store.ts';

/**
 * Makes the orders of these sellers as if none had ever been delayed; returns how many were. For the demo's own
 * sellers only: customers keep the notifications they got, and the ledger keeps its rows.
 */
export async function forgetDelays(db: Sql, sellerIds: readonly string[]): Promise<number> {
  const rows = await db.rows<[number]>(
    `with forgotten as (
       update orders set expected_ship_date = promised_ship_date, delay_count = 0, last_notice_id = null
       where seller_id = any($1) and last_notice_id is not null
       returning 1
     ) select count(*)::int from forgotten`,
    [sellerIds],
  );
  return rows[0]?.[0] ?? 0;
}

/** Counts the orders that accepted notices still have to settle, whoever posted them. */
export async function unsettledOrders(db: Sql): Promise<number> {
  const rows = await db.rows<[number]>(
    `select coalesce(sum(n.orders - l.settled), 0)::int
     from notices n cross join lateral (
       select count(*) settled from ledger where notice_id = n.notice_id and state <> 'delayed'
     ) l
     where n.orders > l.settled`,
  );
  return rows[0]?.[0] ?? 0;
}

/** How far some notices are, all together. */
export interface NoticesProgress {
  counts: Record<LedgerState, number>;
  /** When the last of their orders settled, so far; null if none did. */
  lastSettledAt: Date | null;
}

/** Counts the orders of some notices in the ledger. */
export async function progressOf(db: Sql, noticeIds: readonly string[]): Promise<NoticesProgress> {
  const rows = await db.rows<[LedgerState, number, Date | null]>(
    'select state, count(*)::int, max(settled_at) from ledger where notice_id = any($1) group by state',
    [noticeIds],
  );
  const counts = { rejected: 0, delayed: 0, notified: 0, undeliverable: 0, unconfirmed: 0, failed: 0 };
  let lastSettledAt: Date | null = null;
  for (const [state, count, settledAt] of rows) {
    counts[state] = count;
    if (settledAt && (!lastSettledAt || settledAt > lastSettledAt)) lastSettledAt = settledAt;
  }
  return { counts, lastSettledAt };
}

/** What became of one order of some notices. */
export type LedgerEntry = [
  noticeId: string,
  sellerId: string,
  orderId: string,
  state: LedgerState,
  rejectReason: RejectReason | null,
];

/** Reads what became of every order of some notices. */
export const entriesOf = (db: Sql, noticeIds: readonly string[]): Promise<LedgerEntry[]> =>
  db.rows<LedgerEntry>(
    'select notice_id, seller_id, order_id, state, reject_reason from ledger where notice_id = any($1)',
    [noticeIds],
  );
