import { connect } from 'amqplib';
import { feedExchange } from '../../src/config/topology.ts';
import type { OrderEvent, OrderStatusChanged, OrderUpserted } from '../../src/rules/orderEvent.ts';
import { aToday } from './makers.ts';

let events = 0;
const envelope = () => ({ specversion: '1.0' as const, id: `e-${(events += 1)}`, source: '/shop' });

/** What the shop says of an order of `s-1` that is new, or has changed. */
export const anUpserted = (data: Partial<OrderUpserted['data']> = {}): OrderUpserted => ({
  ...envelope(),
  type: 'order.upserted',
  data: {
    sellerId: 's-1',
    orderId: 'o-1',
    version: 1,
    status: 'open',
    promisedShipDate: aToday,
    phone: '+821012345678',
    customerName: '김초당',
    product: '초당옥수수 10개',
    ...data,
  },
});

/** What the shop says of an order of `s-1` that has another status. */
export const aStatusChange = (data: Partial<OrderStatusChanged['data']> = {}): OrderStatusChanged => ({
  ...envelope(),
  type: 'order.status-changed',
  data: { sellerId: 's-1', orderId: 'o-1', version: 2, status: 'canceled', ...data },
});

/** The shop's order system: publishes as it would, each message confirmed. A `Buffer` goes as it is. */
export async function aShop(url: string) {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  const returned: string[] = [];
  channel.on('return', ({ fields }) => returned.push(fields.routingKey));
  return {
    tell(...messages: (Buffer | OrderEvent | readonly unknown[])[]): Promise<void> {
      for (const message of messages) {
        const isList = Array.isArray(message);
        const content = Buffer.isBuffer(message) ? message : Buffer.from(JSON.stringify(message));
        const contentType = `application/cloudevents${isList ? '-batch' : ''}+json`;
        const routingKey = 'type' in message ? message.type : 'order.several';
        channel.publish(feedExchange, routingKey, content, {
          persistent: true,
          mandatory: true,
          contentType,
        });
      }
      return channel.waitForConfirms();
    },
    /** The routing keys of messages that RabbitMQ gave back. */
    returned,
    close: () => connection.close(),
  };
}
