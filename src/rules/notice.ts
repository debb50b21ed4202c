/** A calendar day of the shop, `YYYY-MM-DD`. Strings of this form sort by date. */
export type ShipDate = string;

/** Why a harvest, or anything else, slips. `ETC` needs a detail. */
export const reasonCodes = [
  'PRODUCT_PREPARE',
  'OUT_OF_STOCK',
  'ORDER_FLOOD',
  'CUSTOM_BUILD',
  'CUSTOMER_REQUEST',
  'RESERVED_DISPATCH',
  'OVERSEAS_DELIVERY',
  'WEATHER',
  'ETC',
] as const;
export type ReasonCode = (typeof reasonCodes)[number];

/** The business answers to an order that can't be delayed, in the order in which they are looked for. */
export const rejectReasons = [
  'ORDER_NOT_FOUND',
  'ORDER_CANCELED',
  'ORDER_SHIPPED',
  'ORDER_DELIVERED',
  'CLAIM_IN_PROGRESS',
  'OVERTAKEN',
  'DATE_IN_PAST',
  'ALREADY_NOTIFIED',
  'DATE_NOT_LATER',
  'DATE_TOO_FAR',
  'TOO_MANY_DELAYS',
] as const;
export type RejectReason = (typeof rejectReasons)[number];

/**
 * What all orders of a notice share; the header of each of its chunks.
 *
 * Times in `noticeId` (UUID version 7) tell which of two notices is the newer: the greater id.
 */
export interface NoticeHeader {
  noticeId: string;
  sellerId: string;
  /** The variant of `delay-notice-path` this notice was given at intake, for life. */
  path: string;
  reason: ReasonCode;
  detail?: string;
  newShipDate: ShipDate;
  /** W3C trace context of the request that brought the notice. */
  traceparent?: string;
}

/** One order of a notice; date, reason and detail only where they differ from the header's. */
export interface NoticeOrder {
  orderId: string;
  newShipDate?: ShipDate;
  reason?: ReasonCode;
  detail?: string;
  /** The version of the order that validation judged; whoever changes the order makes it another. */
  version?: string;
}

/** What a notice wants of one order: the date that holds for it, and its reason and detail where it has its own. */
export interface WantedDelay {
  noticeId: string;
  sellerId: string;
  orderId: string;
  newShipDate: ShipDate;
  reason: ReasonCode | undefined;
  detail: string | undefined;
  /** The version of the order for which this was judged to be all right; undefined if it has to be judged. */
  version: string | undefined;
}

/** Puts a header and one of its orders together. */
export const wantedDelay = (header: NoticeHeader, item: NoticeOrder): WantedDelay => ({
  noticeId: header.noticeId,
  sellerId: header.sellerId,
  orderId: item.orderId,
  newShipDate: item.newShipDate ?? header.newShipDate,
  reason: item.reason,
  detail: item.detail,
  version: item.version,
});
