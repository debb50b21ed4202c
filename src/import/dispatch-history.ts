import { addDays } from '../rules/dates.ts';
import type { OrderStatus } from '../rules/order.ts';
import { madeUpPhone } from './made-up-phone.ts';
import { customerOf, statusOf } from './plain.ts';
import { BadField, type Fields, idOf, localTimeOf, phoneOf, type RowReader, shown } from './row.ts';

/**
 * Turns the history of past orders into orders of today: each as it stood when its promise ran out, with that day
 * moved onto today.
 *
 * An order that was handed over in time is shipped, one that wasn't is open, or canceled if it ended so. Of a
 * late one it is known when it was ready in the end: the date its seller should post a notice for, today and as
 * many days as it was late, begun ones counted. How late, in hours, is `lateHours`, or else the difference of
 * the two times. Where the file has no phone numbers, one is made up from `customerId`.
 */
export const dispatchHistory: RowReader = {
  needs: ['orderId', 'sellerId', 'promisedAt', 'handedOverAt', 'status'],
  takes: ['lateHours', 'customerId', 'customerName', 'phone', 'locale', 'product'],
  knowsDelays: true,
  read(fields, context) {
    const { today, timeZone } = context;
    const promisedAt = localTimeOf(fields, 'promisedAt', timeZone);
    const handedOverAt =
      (fields['handedOverAt'] ?? '') === '' ? undefined : localTimeOf(fields, 'handedOverAt', timeZone);
    const inTime = handedOverAt !== undefined && handedOverAt <= promisedAt;
    const ended = statusOf(fields);
    const status: OrderStatus = inTime ? 'shipped' : ended === 'canceled' ? 'canceled' : 'open';
    const order = {
      sellerId: idOf(fields, 'sellerId'),
      orderId: idOf(fields, 'orderId'),
      status,
      promisedShipDate: today,
      ...customerOf(fields, context),
      phone: phoneOf(fields, context) || (fields['customerId'] ? madeUpPhone(fields['customerId']) : ''),
    };
    if (inTime || handedOverAt === undefined) return { order };
    const hours =
      lateHoursOf(fields) ?? (Date.parse(`${handedOverAt}Z`) - Date.parse(`${promisedAt}Z`)) / 3_600_000;
    return { order, newShipDate: addDays(today, Math.max(1, Math.ceil(hours / 24))) };
  },
};

function lateHoursOf({ lateHours = '' }: Fields): number | undefined {
  if (lateHours === '') return undefined;
  const hours = Number(lateHours);
  if (!Number.isFinite(hours) || Math.abs(hours) > 1e6)
    throw new BadField('lateHours', `expected hours such as 26.5, got ${shown(lateHours)}`);
  return hours;
}
