import { judge, type Limits } from '../rules/judge.ts';
import type { ShipDate, WantedDelay } from '../rules/notice.ts';
import { batchOf, column, keyColumns } from './batch.ts';
import { insertRejects, lockOrders, type Reject, rejectColumns } from './ledger.ts';
import { type Store, transaction } from './store.ts';
import { isDuplicate, StaleRead } from './unavailable.ts';

/** Whether an order is delayed now, by this call or an earlier one, or settled: rejected, or past this step. */
type Outcome = 'delayed' | 'settled';

/** A delay that was judged to be all right for one version of its order. */
type Judged = WantedDelay & { version: string };

/**
 * Delays orders: changes each and writes the ledger, all in one transaction.
 *
 * What validation judged is not judged again unless the day has passed, the order is no longer the version
 * that it saw, or the ledger knows of it by now: the statement that writes looks after the latter two. Should it
 * find otherwise, all is rolled back, and runs again with every order locked first and judged.
 *
 * Returns one outcome for each, in order. Two notices for one order are judged one after the other, in the order
 * of the batch, the second on what the first made of it.
 */
export function delayOrders(
  store: Store,
  wanted: readonly WantedDelay[],
  today: ShipDate,
  limits: Limits,
): Promise<Outcome[]> {
  return transaction(store, async (tx, run) => {
    if (run === 1 && wanted.every((one): one is Judged => isJudged(one) && one.newShipDate >= today)) {
      await inserted(tx.last(changeAndInsert, changeColumns(wanted)));
      return wanted.map((): Outcome => 'delayed');
    }
    const outcomes = new Map<WantedDelay, Outcome>();
    for (const some of rounds(wanted)) {
      const found = await lockOrders(tx, some);
      const judged: Judged[] = [];
      const rejects: Reject[] = [];
      some.forEach((one, i) => {
        const { state, order, version } = found[i] ?? {};
        const rejectReason = state === undefined ? judge(order, one, today, limits) : undefined;
        if (rejectReason) rejects.push({ wanted: one, rejectReason, oldShipDate: order?.expectedShipDate });
        else if (state === undefined && version !== undefined) judged.push({ ...one, version });
        outcomes.set(one, rejectReason || (state ?? 'delayed') !== 'delayed' ? 'settled' : 'delayed');
      });
      if (rejects.length > 0) await inserted(tx.rows(insertRejects, rejectColumns(rejects)));
      if (judged.length > 0) await inserted(tx.rows(changeAndInsert, changeColumns(judged)));
    }
    return wanted.map((one) => outcomes.get(one) ?? 'settled');
  });
}

const isJudged = (one: WantedDelay): one is Judged => one.version !== undefined;

/** Splits a batch so that no order is twice in a round: the first notice of each, the second, and so on. */
function rounds(wanted: readonly WantedDelay[]): WantedDelay[][] {
  const timesSeen = new Map<string, number>();
  const all: WantedDelay[][] = [];
  for (const one of wanted) {
    const order = JSON.stringify([one.sellerId, one.orderId]);
    const round = timesSeen.get(order) ?? 0;
    timesSeen.set(order, round + 1);
    (all[round] ??= []).push(one);
  }
  return all;
}

// Each order is looked up once, then changed where it lies, which costs half as much as looking it up again.
// Rows are locked as the update comes to them: in the order of their keys, the same in every process.
const changeAndInsert = `
  with judged as materialized (
    select k.*, o.tid, o.expected_ship_date
    from (
      select * from ${batchOf({ version: 'xid', new_ship_date: 'date', reason: 'text', detail: 'text' })} b
      order by seller_id collate "C", order_id collate "C"
    ) k
    join lateral (
      select o.ctid as tid, o.expected_ship_date
      from orders o
      where o.seller_id = k.seller_id and o.order_id = k.order_id and o.xmin = k.version
      offset 0
    ) o on true
  ), changed as (
    update orders o
    set expected_ship_date = j.new_ship_date, delay_count = o.delay_count + 1, last_notice_id = j.notice_id
    from judged j
    where o.ctid = j.tid and o.xmin = j.version
    returning 1
  ), written as (
    insert into ledger (notice_id, seller_id, order_id, state, old_ship_date, new_ship_date, reason, detail)
    select notice_id, seller_id, order_id, 'delayed', expected_ship_date, new_ship_date, reason, detail
    from judged
  )
  select all_of(count(*), $9) from changed`;

/** The arrays that `changeAndInsert` takes. It fails as a collision if anything is not as it was when it was judged. */
const changeColumns = (judged: readonly Judged[]) => [
  ...keyColumns(judged),
  column(judged, ({ version }) => version),
  column(judged, ({ newShipDate }) => newShipDate),
  column(judged, ({ reason }) => reason),
  column(judged, ({ detail }) => detail),
  judged.length,
];

/** Waits for an insert into the ledger. A row that is there already: another delivery of the same order wrote it. */
async function inserted<T>(inserting: Promise<T>): Promise<T> {
  try {
    return await inserting;
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new StaleRead('the ledger has rows that were not there when it was read', { cause: error });
  }
}
