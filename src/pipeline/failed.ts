import { createHash } from 'node:crypto';
import type { Broker } from './broker/broker.ts';
import type { Delivery } from './broker/delivery.ts';
import { headerNames, retryOf } from './message.ts';
import { failedQueueOf } from './topology.ts';

/** A message that a step gave up, with what its headers say of the failure. */
export interface FailedMessage {
  step: string;
  lane: string;
  /** The type it was published with; undefined if it had none. */
  type: string | undefined;
  /** The retry that brought it back before it failed with it again; undefined for one that failed for the first time. */
  retry: string | undefined;
  /** Unique for the step: the same message comes with the same id, however often it is delivered. */
  messageId: string;
  errorClass: string;
  errorMessage: string;
  errorStack: string | undefined;
  attempt: number;
  /** When the message was published that failed in the end; undefined if nobody knows. */
  publishedAt: Date | undefined;
  failedAt: Date;
  headers: Record<string, unknown>;
  /** Byte for byte as it came, JSON or not. */
  content: Buffer;
}

export interface FailedQueuesOptions {
  broker: Broker;
  steps: readonly string[];
  /** At most so many messages are recorded at once. */
  batchSize: number;
  /** How long to wait before recording is tried again, in ms. */
  retryMs: number;
  /** Keeps the messages for good; must be safe to run twice with the same ones. */
  record: (messages: readonly FailedMessage[]) => Promise<void>;
  log: { warn(fields: object, message: string): void };
}

/**
 * Empties every `<step>.failed` into `record`, and acks only after it has resolved.
 *
 * While `record` fails, messages are held and tried again every `retryMs`; the queue keeps the rest.
 */
export function drainFailedQueues(options: FailedQueuesOptions): { drain(): Promise<void> } {
  const readers = options.steps.map((step) => readFailed(step, options));
  return {
    async drain() {
      await Promise.all(readers.map((reader) => reader.drain()));
    },
  };
}

function readFailed(step: string, options: FailedQueuesOptions) {
  const { broker, batchSize, retryMs, record, log } = options;
  let waiting: Delivery[] = [];
  let recording: Promise<void> | undefined;
  let draining = false;

  const recordAll = async () => {
    while (waiting.length > 0) {
      const some = waiting.splice(0, batchSize).filter((delivery) => delivery.alive());
      while (some.some((delivery) => delivery.alive())) {
        try {
          await record(some.map((delivery) => describe(step, delivery)));
          for (const delivery of some) delivery.ack();
          break;
        } catch (error) {
          log.warn(
            { err: error, step, messages: some.length },
            'failed messages could not be recorded; they wait',
          );
          if (draining) return;
          await new Promise((resolve) => setTimeout(resolve, retryMs));
        }
      }
    }
  };

  const subscription = broker.subscribe(failedQueueOf(step), (delivery) => {
    waiting.push(delivery);
    // All that arrives in this turn of the loop makes one batch.
    recording ??= new Promise<void>((resolve) => setImmediate(resolve)).then(recordAll).finally(() => {
      recording = undefined;
    });
  });
  subscription.consume(batchSize);

  return {
    async drain() {
      draining = true;
      await subscription.cancel();
      await recording;
      await subscription.close();
    },
  };
}

/** Reads a failed message's headers; one that somebody else put there has few, and is kept all the same. */
function describe(step: string, delivery: Delivery): FailedMessage {
  const { headers, routingKey, content } = delivery;
  const text = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const attempt = headers[headerNames.attempt];
  return {
    step,
    lane: text(headerNames.lane) ?? routingKey.slice(step.length + 1),
    type: delivery.type,
    retry: retryOf(headers),
    messageId: delivery.messageId ?? createHash('sha256').update(content).digest('hex'),
    errorClass: text(headerNames.errorClass) ?? 'Unknown',
    errorMessage: text(headerNames.errorMessage) ?? 'the message came without an error in its headers',
    errorStack: text(headerNames.errorStack),
    attempt: Number.isInteger(attempt) ? (attempt as number) : 0,
    publishedAt: time(text(headerNames.publishedAt)),
    failedAt: time(text(headerNames.failedAt) ?? delivery.publishedAt) ?? new Date(),
    headers,
    content,
  };
}

function time(value: string | number | undefined): Date | undefined {
  const date = new Date(value ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
