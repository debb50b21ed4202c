import { type OrderStatus, orderStatuses } from '../rules/order.ts';
import {
  BadField,
  dayOf,
  type Fields,
  idOf,
  phoneOf,
  type RowContext,
  type RowReader,
  shown,
} from './row.ts';

/** Takes each row for an order as it is now. */
export const plain: RowReader = {
  needs: ['orderId', 'sellerId', 'promisedShipDate', 'status'],
  takes: ['expectedShipDate', 'customerName', 'phone', 'locale', 'product'],
  knowsDelays: false,
  read(fields, context) {
    const { timeZone } = context;
    const expected = fields['expectedShipDate'] ?? '';
    return {
      order: {
        sellerId: idOf(fields, 'sellerId'),
        orderId: idOf(fields, 'orderId'),
        status: statusOf(fields),
        promisedShipDate: dayOf(fields, 'promisedShipDate', timeZone),
        ...(expected !== '' && { expectedShipDate: dayOf(fields, 'expectedShipDate', timeZone) }),
        ...customerOf(fields, context),
        phone: phoneOf(fields, context),
      },
    };
  },
};

/** Reads the status, which the mapping has turned into one of ours. */
export function statusOf(fields: Fields): OrderStatus {
  const status = fields['status'] ?? '';
  if (status === '') throw new BadField('status', 'missing');
  const known = orderStatuses.find((each) => each === status);
  if (!known)
    throw new BadField(
      'status',
      `unknown status ${shown(status)}: expected one of ${orderStatuses.join(', ')}`,
    );
  return known;
}

/** What a row says of the customer and the product. */
export function customerOf(fields: Fields, context: RowContext) {
  const { customerName = '', locale = '', product = '' } = fields;
  return { customerName, locale: locale || context.locale, product };
}
