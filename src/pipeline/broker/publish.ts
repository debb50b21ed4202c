import type { ConfirmChannel } from 'amqplib';
import { InfrastructureError, UnroutableError } from '../errors.ts';
import type { Publication } from '../message.ts';

/**
 * Publishes one persistent, mandatory message and waits until RabbitMQ has confirmed it.
 *
 * `returned` holds the ids of messages that came back on this channel: RabbitMQ confirms those as well, after
 * it has returned them. Throws `UnroutableError` for these, `InfrastructureError` for what was not confirmed.
 */
export function publishConfirmed(
  channel: ConfirmChannel,
  { exchange, routingKey, content, type, messageId, headers }: Publication,
  returned: Set<string>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const confirmed = (cause: unknown) => {
      if (returned.delete(messageId))
        reject(
          new UnroutableError(
            `RabbitMQ has no queue bound to ${exchange} for ${routingKey}, which this process ` +
              'had declared; it is being declared again',
          ),
        );
      else if (cause)
        reject(new InfrastructureError(`RabbitMQ did not confirm a message to ${routingKey}`, { cause }));
      else resolve();
    };
    const options = {
      persistent: true,
      mandatory: true,
      contentType: 'application/json',
      type,
      messageId,
      timestamp: Math.floor(Date.now() / 1000),
      headers,
    };
    try {
      channel.publish(exchange, routingKey, content, options, confirmed);
    } catch (cause) {
      reject(new InfrastructureError('RabbitMQ closed the publishing channel', { cause }));
    }
  });
}
