import { once } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';

// amqplib leaves more than one promise unsettled where the connection breaks before RabbitMQ has answered.

/** Closes a channel; ends also if the connection breaks meanwhile. */
export async function closeChannel(channel: Channel): Promise<void> {
  const gone = once(channel, 'close');
  await Promise.race([channel.close(), gone]);
}

/** Has a connection's own `close` end also if the connection breaks meanwhile. */
export function closeSurely(model: ChannelModel): void {
  const close = model.close.bind(model);
  model.close = async () => {
    const gone = once(model, 'close');
    await Promise.race([close(), gone]);
  };
}

/** Gives what `answer` does; rejects if the channel is closed before. */
export async function unlessClosed<Answer>(channel: Channel, answer: Promise<Answer>): Promise<Answer> {
  const answered = new AbortController();
  const gone = once(channel, 'close', answered).then(() => {
    throw new Error('the channel was closed before RabbitMQ had answered');
  });
  try {
    return await Promise.race([answer, gone]);
  } finally {
    answered.abort();
  }
}
