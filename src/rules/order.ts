import type { ShipDate } from './notice.ts';

/** Where an order stands. Only an `open` one can be delayed; `claim` is a complaint or return in progress. */
export const orderStatuses = ['open', 'canceled', 'shipped', 'delivered', 'claim'] as const;
export type OrderStatus = (typeof orderStatuses)[number];

/** What the rules need to know of an order. */
export interface Order {
  sellerId: string;
  orderId: string;
  status: OrderStatus;
  /** The date the seller promised when selling. */
  promisedShipDate: ShipDate;
  /** The date the customer has now: promised, or as last delayed. */
  expectedShipDate: ShipDate;
  delayCount: number;
  /** The notice that last changed `expectedShipDate`; null if none did. */
  lastNoticeId: string | null;
}
