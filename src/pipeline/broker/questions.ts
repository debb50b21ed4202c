import type { Channel, ChannelModel } from 'amqplib';
import { InfrastructureError } from '../errors.ts';
import { unlessClosed } from './close.ts';
import { type Delivery, deliveryOf } from './delivery.ts';

/** What is asked of queues; an `InfrastructureError` if there is no answer. */
export interface Questions {
  /** See `Broker.get`. */
  get(queue: string): Promise<Delivery | undefined>;
  /** See `Broker.inspect`. */
  inspect(queue: string): Promise<{ messages: number; consumers: number }>;
  /** Asks on this connection from now on, as long as it is up. */
  askOn(model: ChannelModel): void;
}

/** Makes who asks, on one channel for all questions: a question that RabbitMQ refuses closes it, and the next one opens another. */
export function createQuestions(log: { warn(fields: object, message: string): void }): Questions {
  let connection: ChannelModel | undefined;
  let asking: Promise<Channel> | undefined;

  /** One channel also for those who ask while it is being opened. */
  const channel = (): Promise<Channel> => {
    if (asking) return asking;
    if (!connection) throw new InfrastructureError('RabbitMQ is away: no connection to ask on');
    const opening = connection.createChannel().then((opened) => {
      opened.on('error', (error) => log.warn({ err: error }, 'RabbitMQ refused a question about a queue'));
      opened.on('close', () => forget(opening));
      return opened;
    });
    opening.catch(() => forget(opening));
    asking = opening;
    return opening;
  };
  const forget = (opening: Promise<Channel>) => {
    if (asking === opening) asking = undefined;
  };

  return {
    get: (queue) =>
      answerTo(async () => {
        const opened = channel();
        const on = await opened;
        const message = await unlessClosed(on, on.get(queue, { noAck: false }));
        return message === false ? undefined : deliveryOf(on, message, () => asking === opened);
      }),
    inspect: (queue) =>
      answerTo(async () => {
        const { messageCount, consumerCount } = await (await channel()).checkQueue(queue);
        return { messages: messageCount, consumers: consumerCount };
      }),
    askOn(model) {
      connection = model;
      asking = undefined;
      model.on('close', () => {
        if (connection === model) connection = undefined;
      });
    },
  };
}

/** Whatever keeps RabbitMQ from answering is no message's fault. */
async function answerTo<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  try {
    return await question();
  } catch (cause) {
    if (cause instanceof InfrastructureError) throw cause;
    throw new InfrastructureError('RabbitMQ did not answer a question about a queue', { cause });
  }
}
