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
  /** At most so many messages of one step are recorded in one transaction. */
  batchSize: number;
  /** How long to wait before recording is tried again, in ms. */
  retryMs: number;
  /** Keeps the messages for good; must be safe to run twice with the same ones. */
  record: (messages: readonly FailedMessage[]) => Promise<void>;
  log: { warn(fields: object, message: string): void };
}

/**
 * Empties every `<step>.failed` into `record`, and acks only after it has resolved. Two batches of a queue may be
 * under way at once.
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

/** So many batches of one queue are recorded at once: one is read and written while Postgres has the other. */
const recordings = 2;
/** How long to wait for more while nothing is being recorded, in ms; RabbitMQ delivers a few at a time. */
const gatherMs = 5;
/** A batch ends where its messages have so many bytes together: one with hundreds of orders weighs as many with one. */
const batchBytes = 2 * 1_024 * 1_024;

function readFailed(step: string, options: FailedQueuesOptions) {
  const { broker, batchSize, retryMs, record, log } = options;
  const waiting: Delivery[] = [];
  const recording = new Set<Promise<void>>();
  let gathering: NodeJS.Timeout | undefined;
  let draining = false;

  const recordOnce = async (some: readonly Delivery[]) => {
    while (some.some((delivery) => delivery.alive())) {
      try {
        await record(some.map((delivery) => describe(step, delivery)));
        for (const delivery of some) delivery.ack();
        return;
      } catch (error) {
        log.warn(
          { err: error, step, messages: some.length },
          'failed messages could not be recorded; they wait',
        );
        if (draining) {
          // RabbitMQ takes back what is not acked: the rest would fail like this.
          waiting.length = 0;
          await subscription.close();
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  };

  const start = () => {
    const some = takeBatch(waiting, batchSize).filter((delivery) => delivery.alive());
    const one = recordOnce(some).finally(() => {
      recording.delete(one);
      look();
    });
    recording.add(one);
  };

  const isFull = () => waiting.length >= batchSize || sizeOf(waiting) >= batchBytes;

  /** Starts what can be: a full batch beside another one, less than that once it has waited for more. */
  const look = () => {
    while (isFull() && recording.size < recordings) start();
    if (waiting.length === 0 || recording.size > 0) return;
    gathering ??= setTimeout(() => {
      gathering = undefined;
      if (recording.size === 0 && waiting.length > 0) start();
      else look();
    }, gatherMs);
  };

  const subscription = broker.subscribe(
    failedQueueOf(step),
    (delivery) => {
      waiting.push(delivery);
      look();
    },
    { ofAnySize: true },
  );
  subscription.consume(recordings * batchSize);

  return {
    async drain() {
      draining = true;
      await subscription.cancel();
      while (waiting.length > 0 || recording.size > 0) {
        if (recording.size === 0) start();
        await Promise.all(recording);
      }
      clearTimeout(gathering);
      await subscription.close();
    },
  };
}

const sizeOf = (deliveries: readonly Delivery[]) =>
  deliveries.reduce((sum, { content }) => sum + content.length, 0);

/** Takes the first of those that wait, at most `batchSize`, and no more of them than `batchBytes` once it has one. */
function takeBatch(waiting: Delivery[], batchSize: number): Delivery[] {
  let bytes = 0;
  const tooMany = waiting.findIndex(
    ({ content }, at) => at === batchSize || ((bytes += content.length) > batchBytes && at > 0),
  );
  return waiting.splice(0, tooMany === -1 ? waiting.length : tooMany);
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
    attempt: isCount(attempt) ? attempt : 0,
    publishedAt: time(text(headerNames.publishedAt)),
    failedAt: time(text(headerNames.failedAt) ?? delivery.publishedAt) ?? new Date(),
    headers,
    content,
  };
}

function time(value: string | number | undefined): Date | undefined {
  const date = new Date(value ?? Number.NaN);
  const year = date.getUTCFullYear();
  // Others may have written it: Postgres must be able to keep what we take over.
  return year >= 1 && year <= 9_999 ? date : undefined;
}

/** A number of attempts that Postgres can keep. */
const isCount = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;
