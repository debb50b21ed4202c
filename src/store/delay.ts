import { judge, type Limits } from '../rules/judge.ts';
import type { ShipDate, WantedDelay } from '../rules/notice.ts';
import type { Order } from '../rules/order.ts';
import { column } from './columns.ts';
import { insertVerdicts, lockOrders, type Verdict, verdictColumns } from './ledger.ts';
import { type Store, type Tx, transaction } from './store.ts';
import { isDuplicate, StaleRead } from './unavailable.ts';

/**
 * Delays orders: judges each under the lock of its row, changes it and writes the ledger, all in one transaction.
 *
 * Returns for each, in order, whether it is `delayed` now (by this call or an earlier one that could not pass it
 * on) or `settled` (rejected, or past this step). An order that several notices of the batch name is judged for
 * one after the other, each on what the one before made of it.
 */
export function delayOrders(
  store: Store,
  wanted: readonly WantedDelay[],
  today: ShipDate,
  limits: Limits,
): Promise<('delayed' | 'settled')[]> {
  return transaction(store, async (tx) => {
    const found = await lockOrders(tx, wanted);
    // By row: two notices of the batch may name one order.
    const changed = new Map<string, Order>();
    const verdicts: Verdict[] = [];
    const outcomes = wanted.map((one, i) => {
      const { state, tid, order: read } = found[i] ?? {};
      if (state !== undefined) return state === 'delayed' ? 'delayed' : 'settled';
      const order = tid === undefined ? undefined : (changed.get(tid) ?? read);
      const rejectReason = judge(order, one, today, limits);
      verdicts.push({ wanted: one, rejectReason, oldShipDate: order?.expectedShipDate });
      if (!order || tid === undefined || rejectReason) return 'settled';
      changed.set(tid, delayed(order, one));
      return 'delayed';
    });
    if (verdicts.length > 0) await write(tx, verdicts, [...changed]);
    return outcomes;
  });
}

const delayed = (order: Order, { newShipDate, noticeId }: WantedDelay): Order => ({
  ...order,
  expectedShipDate: newShipDate,
  delayCount: order.delayCount + 1,
  lastNoticeId: noticeId,
});

const changeAndInsert = `
  with changed as (
    update orders o
    set expected_ship_date = k.expected_ship_date, delay_count = k.delay_count, last_notice_id = k.last_notice_id
    from unnest($9::tid[], $10::date[], $11::int[], $12::uuid[])
      as k (tid, expected_ship_date, delay_count, last_notice_id)
    where o.ctid = k.tid
    returning 1
  ), written as (${insertVerdicts})
  select count(*)::int from changed`;

async function write(
  tx: Tx,
  verdicts: readonly Verdict[],
  orders: readonly [tid: string, Order][],
): Promise<void> {
  try {
    const rows = await tx.rows<[number]>(changeAndInsert, [
      ...verdictColumns(verdicts),
      column(orders, ([tid]) => tid),
      column(orders, ([, order]) => order.expectedShipDate),
      column(orders, ([, order]) => order.delayCount),
      column(orders, ([, order]) => order.lastNoticeId),
    ]);
    if (rows[0]?.[0] !== orders.length) throw new StaleRead('a locked order was not where it had been read');
  } catch (error) {
    // Another delivery of the same orders was quicker while this one waited for its locks. Look again, and find it.
    if (!isDuplicate(error)) throw error;
    throw new StaleRead('the ledger got rows that were not there when it was read', { cause: error });
  }
}
