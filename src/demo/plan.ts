import type { NoticeToPost } from '../import/generated.ts';
import { judge, type Limits } from '../rules/judge.ts';
import type { ShipDate } from '../rules/notice.ts';
import type { OrderRow } from '../store/orders.ts';
import { wrongNumber } from '../tms/simulator/account.ts';

/** What is to be posted, and what must become of it. */
export interface Plan {
  notices: NoticeToPost[];
  /** By `orderKey`: the state in which each order of the notices must end, a reject with its reason. */
  expected: ReadonlyMap<string, string>;
  /** The phone number of each order, by `orderKey`. */
  phones: ReadonlyMap<string, string>;
}

/** Names an order among those of all sellers. */
export const orderKey = (sellerId: string, orderId: string) => `${sellerId}\0${orderId}`;

/**
 * Tells, by the pure rules alone, what must become of each order of some notices.
 *
 * The orders must not have been delayed before. An order without a usable phone number ends undeliverable.
 */
export function planFor(
  notices: NoticeToPost[],
  orders: readonly OrderRow[],
  today: ShipDate,
  limits: Limits,
): Plan {
  const known = new Map(orders.map((order) => [orderKey(order.sellerId, order.orderId), order]));
  const expected = new Map<string, string>();
  const phones = new Map<string, string>();
  for (const { sellerId, newShipDate, orderIds } of notices)
    for (const orderId of orderIds) {
      const key = orderKey(sellerId, orderId);
      const order = known.get(key);
      const reason = judge(order && asJudged(order), { noticeId: '', newShipDate }, today, limits);
      const phone = order?.phone ?? '';
      phones.set(key, phone);
      expected.set(key, reason ? `rejected ${reason}` : wrongNumber(phone) ? 'undeliverable' : 'notified');
    }
  return { notices, expected, phones };
}

const asJudged = ({ expectedShipDate, ...order }: OrderRow) => ({
  ...order,
  expectedShipDate: expectedShipDate ?? order.promisedShipDate,
  delayCount: 0,
  lastNoticeId: null,
});
