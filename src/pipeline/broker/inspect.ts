import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import { closeChannel } from './close.ts';

/** A queue as RabbitMQ counts it just now. */
export interface CountedQueue {
  /** Messages that wait; those that a consumer holds are not among them. */
  ready: number;
  consumers: number;
}

/** What RabbitMQ says over AMQP, where nothing but names is needed. */
export interface InspectedBroker {
  product: string;
  version: string;
  /** By name; `null` for a queue that isn't there, an error for one that may not be looked at. */
  queues: Map<string, CountedQueue | Error | null>;
  /** Exchanges that aren't there. */
  missingExchanges: string[];
}

/**
 * Looks which of these queues and exchanges there are, over one connection that it closes. It declares nothing
 * and takes no message.
 *
 * Throws if RabbitMQ can't be reached or refuses us. Connecting may take `timeoutMs`, and all the rest as long again.
 */
export async function inspectBroker(
  url: string,
  {
    queues,
    exchanges,
    timeoutMs,
  }: { queues: readonly string[]; exchanges: readonly string[]; timeoutMs: number },
): Promise<InspectedBroker> {
  const connection = await connect(url, {
    clientProperties: { connection_name: 'chodang doctor' },
    timeout: timeoutMs,
  }).catch((error: unknown) => {
    // All that amqplib says of it is which frames came.
    if (!(error instanceof Error) || !/ConnectionOpenOk.*ConnectionClose/.test(error.message)) throw error;
    throw new Error(
      'RabbitMQ refused the virtual host: there is none of that name, or the user may not use it',
      { cause: error },
    );
  });
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    connection.on('error', reject);
    timer = setTimeout(
      () => reject(new Error(`RabbitMQ took the connection, but gave no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    const inspected = await Promise.race([look(connection, queues, exchanges), over]);
    await Promise.race([connection.close(), over]);
    return inspected;
  } catch (error) {
    cut(connection);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function look(
  connection: ChannelModel,
  queues: readonly string[],
  exchanges: readonly string[],
): Promise<InspectedBroker> {
  const { product, version } = connection.connection.serverProperties;
  const found = new Map<string, CountedQueue | Error | null>();
  for (const name of queues)
    found.set(
      name,
      await passively(connection, async (channel) => {
        const { messageCount, consumerCount } = await channel.checkQueue(name);
        return { ready: messageCount, consumers: consumerCount };
      }),
    );
  const missingExchanges: string[] = [];
  for (const name of exchanges)
    if ((await passively(connection, (channel) => channel.checkExchange(name))) === null)
      missingExchanges.push(name);
  return { product, version, queues: found, missingExchanges };
}

/** Asks on a channel of its own, which RabbitMQ closes where the answer is no; null if there is no such thing. */
async function passively<T>(
  connection: ChannelModel,
  ask: (channel: Awaited<ReturnType<ChannelModel['createChannel']>>) => Promise<T>,
): Promise<T | Error | null> {
  const channel = await connection.createChannel();
  // The same error rejects the call below; without a listener it would end the process.
  channel.on('error', () => undefined);
  try {
    const answer = await ask(channel);
    await closeChannel(channel);
    return answer;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return (error as { code?: number }).code === 404 ? null : error;
  }
}

/** Ends a connection whose server has gone silent: its own `close` would wait for an answer. */
function cut(connection: ChannelModel): void {
  connection.on('error', () => undefined);
  (connection.connection as { stream?: Socket }).stream?.destroy();
}
