import { daysBetween } from './dates.ts';
import type { RejectReason, ShipDate } from './notice.ts';
import type { Order, OrderStatus } from './order.ts';

/** How far a seller may go. */
export interface Limits {
  /** Days that a new date may lie after the promised one. */
  maxDaysLate: number;
  /** How many times one order may be delayed. */
  maxDelays: number;
}

const closed: Record<Exclude<OrderStatus, 'open'>, RejectReason> = {
  canceled: 'ORDER_CANCELED',
  shipped: 'ORDER_SHIPPED',
  delivered: 'ORDER_DELIVERED',
  claim: 'CLAIM_IN_PROGRESS',
};

/**
 * Judges whether an order may be delayed to a new date: the first reason that speaks against it, or undefined.
 *
 * `order` is undefined where the seller has none of that id; another seller's order looks the same.
 * `notice.newShipDate` is the one for this order. `today` is the shop's (see `dates.ts`).
 */
export function judge(
  order: Order | undefined,
  notice: { noticeId: string; newShipDate: ShipDate },
  today: ShipDate,
  limits: Limits,
): RejectReason | undefined {
  if (!order) return 'ORDER_NOT_FOUND';
  if (order.status !== 'open') return closed[order.status];
  if (order.lastNoticeId !== null && order.lastNoticeId > notice.noticeId) return 'OVERTAKEN';
  const date = notice.newShipDate;
  if (date < today) return 'DATE_IN_PAST';
  if (date === order.expectedShipDate) return 'ALREADY_NOTIFIED';
  if (date < order.expectedShipDate) return 'DATE_NOT_LATER';
  if (daysBetween(order.promisedShipDate, date) > limits.maxDaysLate) return 'DATE_TOO_FAR';
  if (order.delayCount >= limits.maxDelays) return 'TOO_MANY_DELAYS';
  return undefined;
}

/**
 * Tells why a delay that was accepted should no longer be told to the customer, or undefined if it still is true.
 *
 * Asked right before sending: meanwhile the order may have shipped, been canceled, got another notice, or
 * the day may have passed.
 */
export function stillTrue(
  order: Pick<Order, 'status' | 'lastNoticeId'> | undefined,
  noticeId: string,
  newShipDate: ShipDate,
  today: ShipDate,
): RejectReason | undefined {
  if (!order) return 'ORDER_NOT_FOUND';
  if (order.status !== 'open') return closed[order.status];
  if (order.lastNoticeId !== noticeId) return 'OVERTAKEN';
  if (newShipDate < today) return 'DATE_IN_PAST';
  return undefined;
}
