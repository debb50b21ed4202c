import { connect } from 'amqplib';

/** Publishes one message past all of our own code, as a stranger or an older version of us might. */
export async function publishRaw(
  url: string,
  message: { exchange: string; routingKey: string; content: Buffer; type?: string; messageId?: string },
): Promise<void> {
  const { exchange, routingKey, content, ...properties } = message;
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  channel.publish(exchange, routingKey, content, { persistent: true, mandatory: true, ...properties });
  await channel.waitForConfirms();
  await connection.close();
}
