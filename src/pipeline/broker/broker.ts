import type { ChannelModel } from 'amqplib';
import { InfrastructureError } from '../errors.ts';
import type { Publication } from '../message.ts';
import type { TopologyOptions } from '../topology.ts';
import { openConnection } from './connection.ts';
import { declareTopology, FatalTopologyError } from './declare.ts';
import type { Delivery } from './delivery.ts';
import { openPublisher, type PublisherOptions } from './publisher.ts';
import { createQuestions } from './questions.ts';
import { Reading } from './reading.ts';
import { RecoveringSubscription, type Subscription, type SubscriptionOptions } from './subscription.ts';

export type Readiness = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** RabbitMQ as the pipeline sees it. */
export interface Broker {
  /**
   * Publishes one persistent, mandatory message and waits until RabbitMQ has confirmed it.
   *
   * Throws `UnroutableError` if no queue is bound for it, `InfrastructureError` if it was not confirmed.
   * It waits as long as RabbitMQ blocks publishers (a memory or disk alarm).
   */
  publish(publication: Publication): Promise<void>;
  /** `ofAnySize`: others decide how large its messages are, not we. */
  subscribe(
    queue: string,
    onDelivery: (delivery: Delivery) => void,
    options?: { ofAnySize?: boolean },
  ): Subscription;
  /** Takes one message, if there is one; for probes, where a consumer would take more. */
  get(queue: string): Promise<Delivery | undefined>;
  /** How many messages wait in a queue. */
  depth(queue: string): Promise<number>;
  /** How many messages wait in a queue, and how many consumers it has, of all processes. */
  inspect(queue: string): Promise<{ messages: number; consumers: number }>;
  /** Whether a publish would go through now. */
  ready(): Readiness;
  /** Whether more should be taken in: it is ready, and has not too much to confirm yet. */
  hasRoom(): Readiness;
  /** Resolves when the connections are up for the first time; rejects on `FatalTopologyError` or after `ms`. */
  connected(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface BrokerOptions
  extends Omit<PublisherOptions, 'declare'>,
    Pick<SubscriptionOptions, 'maxPrefetchedBytes'> {
  topology: TopologyOptions;
  /** With more bytes published and not confirmed yet there is no room: they stay in memory. Default: no limit. */
  maxUnconfirmedBytes?: number;
  /** Called when the topology can't be declared; the process must stop. */
  onFatal(error: FatalTopologyError): void;
}

/** So many times what one consumer may have, unsettled, all may have together of messages of any size. */
const consumersFull = 4;

/**
 * Opens the connections of a process, one to publish and one to consume, since RabbitMQ reads nothing from a connection it
 * has blocked, not even acks; and for messages of any size another one, as soon as there is something to consume, since we
 * read nothing, not even answers, from one that has brought too much.
 *
 * Returns at once; the connections are made, and made again after a loss, in the background. The whole
 * topology is declared after every connect, before anything is published or consumed.
 */
export function openBroker(options: BrokerOptions): Broker {
  const { log, topology, maxUnconfirmedBytes = Number.POSITIVE_INFINITY } = options;
  const subscriptions = new Set<RecoveringSubscription>();
  let fatal: FatalTopologyError | undefined;
  let failConnecting: ((error: FatalTopologyError) => void) | undefined;

  const declare = async (model: ChannelModel) => {
    try {
      await declareTopology(model, topology);
    } catch (error) {
      if (error instanceof FatalTopologyError && !fatal) {
        fatal = error;
        failConnecting?.(error);
        options.onFatal(error);
      }
      throw error;
    }
  };

  const publisher = openPublisher({ ...options, declare });
  const questions = createQuestions(log);
  const consumer = openConnection(options, 'consume', async (model) => {
    await declare(model);
    questions.askOn(model);
  });
  const connections = [publisher.connection, consumer];

  let ofAnySize: (Pick<SubscriptionOptions, 'reading'> & { connection: typeof consumer }) | undefined;
  const openForAnySize = () => {
    const reading = new Reading(consumersFull * (options.maxPrefetchedBytes ?? Number.POSITIVE_INFINITY));
    const connection = openConnection(options, 'consume messages of any size', async (model) => {
      reading.watch(model);
      await declare(model);
    });
    connections.push(connection);
    return { reading, connection };
  };

  const ready = (): Readiness => {
    const why = fatal?.message ?? publisher.whyNot();
    return why === undefined ? { ok: true } : { ok: false, why };
  };

  return {
    publish: (publication) => publisher.publish(publication),

    subscribe(queue, onDelivery, { ofAnySize: anySize = false } = {}) {
      const { connection = consumer, reading } = anySize ? (ofAnySize ??= openForAnySize()) : {};
      const subscription = new RecoveringSubscription(
        queue,
        onDelivery,
        connection,
        { ...options, reading },
        () => subscriptions.delete(subscription),
      );
      subscriptions.add(subscription);
      return subscription;
    },

    get: (queue) => questions.get(queue),

    depth: async (queue) => (await questions.inspect(queue)).messages,

    inspect: (queue) => questions.inspect(queue),

    ready,

    hasRoom() {
      const readiness = ready();
      const bytes = publisher.unconfirmedBytes();
      if (!readiness.ok || bytes <= maxUnconfirmedBytes) return readiness;
      return { ok: false, why: `RabbitMQ has yet to confirm ${bytes.toLocaleString('en-US')} bytes` };
    },

    async connected(ms) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new InfrastructureError(`RabbitMQ did not answer within ${ms} ms`));
        }, ms);
      });
      const failed = new Promise<never>((_, reject) => {
        failConnecting = reject;
        if (fatal) reject(fatal);
      });
      try {
        const all = Promise.all(connections.map(async (connection) => (await connection).waitForConnect()));
        await Promise.race([all, late, failed]);
      } finally {
        clearTimeout(timer);
      }
    },

    async close() {
      publisher.stop();
      await Promise.all([...subscriptions].map((subscription) => subscription.close()));
      await Promise.all(connections.map(async (connection) => (await connection).close()));
    },
  };
}
