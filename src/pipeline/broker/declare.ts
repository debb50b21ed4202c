import type { ChannelModel } from 'amqplib';
import { exchangesOf, queuesOf, type TopologyOptions } from '../topology.ts';
import { closeChannel } from './close.ts';

/** Says that a queue or exchange exists with other arguments, which RabbitMQ never changes in place. */
export class FatalTopologyError extends Error {
  override name = 'FatalTopologyError';
}

/**
 * Declares every exchange, queue and binding of the pipeline; what is there already stays as it is.
 *
 * Throws `FatalTopologyError` where something of that name exists with other arguments (406): the process
 * must stop, and its message says what to do.
 */
export async function declareTopology(
  connection: Pick<ChannelModel, 'createChannel'>,
  topology: TopologyOptions,
): Promise<void> {
  const channel = await connection.createChannel();
  // The same error rejects the call below; without a listener it would end the process.
  channel.on('error', () => undefined);
  try {
    for (const exchange of exchangesOf(topology))
      await channel.assertExchange(exchange, 'topic', { durable: true });
    for (const queue of queuesOf(topology)) {
      await channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
      for (const { exchange, pattern } of queue.bindings)
        await channel.bindQueue(queue.name, exchange, pattern);
    }
  } catch (cause) {
    if ((cause as { code?: number }).code !== 406) throw cause;
    throw new FatalTopologyError(
      `RabbitMQ has a queue or exchange of ours with other arguments: ${(cause as Error).message}. ` +
        'Let that queue run empty, delete it, and start again: it is declared anew.',
      { cause },
    );
  }
  await closeChannel(channel);
}
