import { isShipDate } from './dates.ts';
import type { ShipDate } from './notice.ts';

/** One order that can be made out in a message that can't be understood. */
export interface SalvagedOrder {
  noticeId: string;
  sellerId: string;
  orderId: string;
  newShipDate: ShipDate;
}

/**
 * Makes out whose orders a failed message holds, as far as that can be told: that it can't be understood as a
 * whole may be why it failed, but its notice must settle all the same.
 *
 * Never throws; takes each order that has an id, under a header that names notice and seller, with a date of
 * its own or the header's, and overlooks everything else.
 */
export function failedOrdersOf(content: Buffer): SalvagedOrder[] {
  return chunksIn(content).flatMap((chunk) => ordersOfChunk(chunk));
}

/** Gives the chunks of a message as they are, of whatever shape; none where there is nothing of the kind. */
export function chunksIn(content: Buffer): unknown[] {
  const chunks = field(parsed(content), 'chunks');
  return Array.isArray(chunks) ? chunks : [];
}

function ordersOfChunk(chunk: unknown): SalvagedOrder[] {
  const header = field(chunk, 'header');
  const items = field(chunk, 'items');
  const noticeId = field(header, 'noticeId');
  const sellerId = field(header, 'sellerId');
  if (!Array.isArray(items) || typeof noticeId !== 'string' || !uuid.test(noticeId)) return [];
  if (typeof sellerId !== 'string') return [];
  return items.flatMap((item: unknown) => {
    const orderId = field(item, 'orderId');
    const newShipDate = [field(item, 'newShipDate'), field(header, 'newShipDate')].find(isShipDate);
    return typeof orderId === 'string' && newShipDate ? [{ noticeId, sellerId, orderId, newShipDate }] : [];
  });
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return undefined; // not JSON: nothing to make out
  }
}
