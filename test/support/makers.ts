import { uuidv7 } from 'uuidv7';
import type { Entry } from '../../src/pipeline/actor.ts';
import type { NoticeHeader, NoticeOrder } from '../../src/rules/notice.ts';
import type { Order } from '../../src/rules/order.ts';

/** The day it is in tests that don't care. */
export const aToday = '2026-11-22';

/** An order of seller `s-1`, open, promised for today and never delayed. */
export function anOrder(parts: Partial<Order> = {}): Order {
  const promisedShipDate = parts.promisedShipDate ?? aToday;
  return {
    sellerId: 's-1',
    orderId: 'o-1',
    status: 'open',
    promisedShipDate,
    expectedShipDate: promisedShipDate,
    delayCount: 0,
    lastNoticeId: null,
    ...parts,
  };
}

/** The id of a notice; each is newer than all made before it. */
export const aNoticeId = (): string => uuidv7();

/** A notice of seller `s-1` on path `actors`, a week late because of the weather. */
export function aNotice(parts: Partial<NoticeHeader> = {}): NoticeHeader {
  return {
    noticeId: aNoticeId(),
    sellerId: 's-1',
    path: 'actors',
    reason: 'WEATHER',
    newShipDate: '2026-11-29',
    ...parts,
  };
}

/** What an actor sees of one order of `header`, at the first attempt. */
export function anEntry(
  header: NoticeHeader,
  item: NoticeOrder | string,
  parts: { attempt?: number; redelivered?: boolean } = {},
): Entry<NoticeHeader, NoticeOrder> {
  return {
    header,
    item: typeof item === 'string' ? { orderId: item } : item,
    attempt: parts.attempt ?? 1,
    redelivered: parts.redelivered ?? false,
  };
}
