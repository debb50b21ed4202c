import { once } from 'node:events';
import type { Channel } from 'amqplib';

/** Closes a channel. amqplib's own `close` never settles if the connection breaks before RabbitMQ has answered. */
export async function closeChannel(channel: Channel): Promise<void> {
  const gone = once(channel, 'close');
  await Promise.race([channel.close(), gone]);
}
