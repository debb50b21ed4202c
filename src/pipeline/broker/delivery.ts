import type { Channel, ConsumeMessage, GetMessage } from 'amqplib';
import { deliveryCountOf } from '../message.ts';

/** One message as RabbitMQ delivered it. It stays RabbitMQ's until it is acked or rejected. */
export interface Delivery {
  readonly content: Buffer;
  readonly routingKey: string;
  readonly type: string | undefined;
  readonly messageId: string | undefined;
  /** When it was published, in ms since 1970. */
  readonly publishedAt: number | undefined;
  readonly headers: Record<string, unknown>;
  /** How many earlier deliveries came back because their consumer vanished. */
  readonly deliveryCount: number;
  /** False once its channel is gone: RabbitMQ delivers it again, and `ack` and `reject` do nothing. */
  alive(): boolean;
  ack(): void;
  /** Rejects without requeueing: RabbitMQ moves it to `<step>.retriable` and counts it in `x-death`. */
  reject(): void;
}

/** AMQP counts in seconds. What others wrote in milliseconds lies tens of thousands of years ahead: then nobody knows. */
const publishedAtOf = (timestamp: unknown): number | undefined =>
  typeof timestamp === 'number' && timestamp > 0 && timestamp < 100_000_000_000
    ? timestamp * 1_000
    : undefined;

/** Turns amqplib's message into ours; settling it once more, or on a channel that is gone, does nothing and tells nobody. */
export function deliveryOf(
  channel: Channel,
  message: ConsumeMessage | GetMessage,
  open: () => boolean,
  settled: () => void = () => undefined,
): Delivery {
  const { properties, fields } = message;
  const headers = (properties.headers ?? {}) as Record<string, unknown>;
  let isSettled = false;
  const settle = (how: () => void) => {
    if (isSettled || !open()) return;
    isSettled = true;
    how();
    settled();
  };
  return {
    content: message.content,
    routingKey: fields.routingKey,
    type: properties.type as string | undefined,
    messageId: properties.messageId as string | undefined,
    publishedAt: publishedAtOf(properties.timestamp),
    headers,
    deliveryCount: deliveryCountOf(headers),
    alive: () => !isSettled && open(),
    ack: () => settle(() => channel.ack(message)),
    reject: () => settle(() => channel.nack(message, false, false)),
  };
}
