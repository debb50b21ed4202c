import type { Actor, Entry } from './actor.ts';
import { answersOf, watch } from './answers.ts';
import type { Broker } from './broker/broker.ts';
import type { Delivery } from './broker/delivery.ts';
import type { Circuit } from './circuit.ts';
import { KilledProcessError, MalformedError } from './errors.ts';
import { handOver, wasRedelivered } from './handOver.ts';
import {
  attemptOf,
  failureHeaders,
  type MessageFormat,
  markHeaders,
  publicationTo,
  readChunks,
  retryOf,
} from './message.ts';
import type { PipelineObserver } from './observer.ts';
import { publicationsOf, sortOut } from './outcomes.ts';
import { withoutRepeats } from './repeats.ts';
import { exchanges } from './topology.ts';
import type { Traffic } from './traffic.ts';

/** One step of a pipeline, ready to run batches. */
export interface Step<Header, Item> {
  name: string;
  /** The step that what is forwarded goes to; undefined for the last. */
  next: string | undefined;
  actor: Actor<Header, Item>;
  format: MessageFormat<Header, Item>;
  /** At most so many items in one chunk, and in one message. */
  chunkSize: number;
  /** How often an item may fail by itself before it goes to `<step>.failed`. */
  maxAttempts: number;
  /** How often a message may take its process down with it. */
  maxRedeliveries: number;
  broker: Broker;
  circuit: Circuit;
  /** What comes in which lane, to all steps of this process. */
  traffic: Traffic;
  observer: PipelineObserver;
}

/** A delivery whose message has been read. */
export interface Parcel<Header, Item> {
  delivery: Delivery;
  lane: string;
  entries: Entry<Header, Item>[];
}

/**
 * Reads a delivery, or puts it among the failed ones if it can't be understood or has killed its process
 * too often. Returns undefined where nothing is left to run.
 */
export async function receive<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  delivery: Delivery,
): Promise<Parcel<Header, Item> | undefined> {
  const attempt = attemptOf(step.name, delivery.headers);
  try {
    if (delivery.deliveryCount >= step.maxRedeliveries)
      throw new KilledProcessError(
        `its process died with it ${delivery.deliveryCount} times: expected fewer than ${step.maxRedeliveries}`,
      );
    const chunks = readChunks(step.format, step.name, delivery);
    const redelivered = wasRedelivered(delivery);
    const retry = retryOf(delivery.headers);
    const entries: Entry<Header, Item>[] = [];
    for (const { header, items } of chunks)
      for (const item of items) entries.push({ header, item, attempt, redelivered, retry });
    return { delivery, lane, entries };
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof KilledProcessError)) throw error;
    const headers = {
      ...failureHeaders(step.name, lane, error, attempt, delivery.publishedAt),
      ...markHeaders({ redelivered: wasRedelivered(delivery), retry: retryOf(delivery.headers) }),
    };
    const publication = publicationTo(exchanges.failed, step.name, lane, delivery.content, headers);
    if (delivery.type !== undefined) publication.type = delivery.type;
    // The same id each time, should we die before the ack: then it is the same failure.
    if (delivery.messageId !== undefined) publication.messageId = delivery.messageId;
    step.observer.failed(step.name, lane, 0, error, attempt, { messageId: delivery.messageId });
    await handOver(step, [publication], [{ delivery, lane, entries: [] }]);
    return undefined;
  }
}

/**
 * Takes the parcels of one lane through the step: runs the actor, publishes what goes on from here, waits
 * for RabbitMQ's confirms, and only then lets go of the deliveries. Whatever the actor does, it returns.
 */
export async function runBatch<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  parcels: readonly Parcel<Header, Item>[],
): Promise<void> {
  const started = performance.now();
  const entries = withoutRepeats(step, parcels);
  const answers = await answersOf(step, entries);
  watch(step, lane, entries, answers);

  const outcomes = sortOut(step, parcels, entries, answers);
  const publications = publicationsOf(step, lane, outcomes, parcels[0]?.delivery.publishedAt);
  const letGo = parcels.filter(({ delivery }) => !outcomes.rejected.includes(delivery));
  await handOver(step, publications, letGo);
  for (const delivery of outcomes.rejected) delivery.reject();
  step.observer.batch(step.name, lane, entries.length, performance.now() - started);
}
