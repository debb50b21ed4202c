import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect,
  type RecoveringChannelModel,
} from 'amqplib';
import { InfrastructureError } from '../errors.ts';
import type { Publication } from '../message.ts';
import type { TopologyOptions } from '../topology.ts';
import { declareTopology, FatalTopologyError } from './declare.ts';
import { type Delivery, deliveryOf } from './delivery.ts';
import { publishConfirmed } from './publish.ts';
import { RecoveringSubscription, type Subscription } from './subscription.ts';

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
  subscribe(queue: string, onDelivery: (delivery: Delivery) => void): Subscription;
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
  /** Resolves when both connections are up for the first time; rejects on `FatalTopologyError` or after `ms`. */
  connected(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface BrokerOptions {
  url: string;
  topology: TopologyOptions;
  /** Shown in RabbitMQ's management page. */
  name: string;
  /** How long a publish waits for a channel while the connection is being renewed, in ms. */
  publishWaitMs: number;
  /** With more bytes published and not confirmed yet there is no room: they stay in memory. Default: no limit. */
  maxUnconfirmedBytes?: number;
  log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  /** Called when the topology can't be declared; the process must stop. */
  onFatal(error: FatalTopologyError): void;
}

const reconnect = { initialDelay: 100, maxDelay: 5_000 };

/**
 * Opens the two connections of a process, one to publish and one to consume: RabbitMQ reads nothing from a
 * connection it has blocked, not even acks.
 *
 * Returns at once; both connections are made, and made again after a loss, in the background. The whole
 * topology is declared after every connect, before anything is published or consumed.
 */
export function openBroker(options: BrokerOptions): Broker {
  const { log, topology, maxUnconfirmedBytes = Number.POSITIVE_INFINITY } = options;
  const subscriptions = new Set<RecoveringSubscription>();
  let publishing: ConfirmChannel | undefined;
  let asking: Promise<Channel> | undefined;
  let consuming: ChannelModel | undefined;
  let blocked: string | undefined;
  let closing = false;
  let mending = false;
  let unconfirmedBytes = 0;
  let fatal: FatalTopologyError | undefined;
  let failConnecting: ((error: FatalTopologyError) => void) | undefined;
  const returned = new Set<string>();
  const waiting = new Set<() => void>();

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

  const openPublishing = async (model: ChannelModel) => {
    const channel = await model.createConfirmChannel();
    channel.on('error', (error) => log.error({ err: error }, 'RabbitMQ closed the publishing channel'));
    channel.on('return', (message) => {
      returned.add(String(message.properties.messageId));
      mend(model);
    });
    channel.on('close', () => {
      if (publishing !== channel) return;
      publishing = undefined;
      // The connection may well be up: a channel alone was closed. If it is down, `setup` opens the next one.
      if (!closing) openPublishing(model).catch((error) => log.warn({ err: error }, 'no publishing channel'));
    });
    publishing = channel;
    for (const wake of waiting) wake();
    waiting.clear();
  };

  // Somebody removed a queue or a binding of ours: what is published next should find it again.
  const mend = (model: ChannelModel) => {
    if (mending || closing) return;
    mending = true;
    declare(model)
      .then(() => log.warn({}, 'a message was returned; the topology has been declared again'))
      .catch((error: unknown) => log.error({ err: error }, 'the topology could not be declared again'))
      .finally(() => {
        mending = false;
      });
  };

  const open = (purpose: string, setup: (model: ChannelModel) => Promise<void>) => {
    const opened = connect(options.url, {
      clientProperties: { connection_name: `${options.name} ${purpose}` },
      noDelay: true,
      timeout: 5_000,
      recovery: {
        ...reconnect,
        waitForConnect: false,
        // amqplib listens to a connection only once `setup` is through: what happens to it before is ours.
        setup: async (model: ChannelModel) => {
          let gone: Error | undefined;
          model.on('error', (error: Error) => log.warn({ err: error, purpose }, 'RabbitMQ connection error'));
          model.on('close', (error?: Error) => {
            gone = error ?? new Error('RabbitMQ closed the connection');
          });
          await setup(model);
          if (gone) throw gone;
        },
      },
    });
    return opened.then((model: RecoveringChannelModel) => {
      model.on('connect', () => log.info({ purpose }, 'connected to RabbitMQ'));
      model.on('disconnect', (error) => {
        blocked = purpose === 'publish' ? undefined : blocked;
        log.warn({ err: error, purpose }, 'RabbitMQ connection lost; reconnecting');
      });
      model.on('connect-failed', (error) =>
        log.warn({ err: error, purpose }, 'RabbitMQ is away; trying again'),
      );
      model.on('error', (error) => log.warn({ err: error, purpose }, 'RabbitMQ connection error'));
      return model;
    });
  };

  const publisher = open('publish', async (model) => {
    await declare(model);
    await openPublishing(model);
  }).then((model) => {
    model.on('blocked', (reason) => {
      blocked = reason;
      log.warn({ reason }, 'RabbitMQ blocks publishers; messages wait');
    });
    model.on('unblocked', () => {
      blocked = undefined;
      log.info({}, 'RabbitMQ takes messages again');
    });
    return model;
  });

  const consumer = open('consume', async (model) => {
    await declare(model);
    asking = undefined;
    consuming = model;
    model.on('close', () => {
      if (consuming === model) consuming = undefined;
    });
  });

  /** One channel for all, also for those who ask while it is being opened. */
  const askingChannel = (): Promise<Channel> => {
    if (asking) return asking;
    if (!consuming) throw new InfrastructureError('RabbitMQ is away: no connection to ask on');
    const opening = consuming.createChannel().then((channel) => {
      channel.on('error', (error) => log.warn({ err: error }, 'RabbitMQ refused a question about a queue'));
      channel.on('close', () => {
        if (asking === opening) asking = undefined;
      });
      return channel;
    });
    opening.catch(() => {
      if (asking === opening) asking = undefined;
    });
    asking = opening;
    return opening;
  };

  const inspect = (queue: string) =>
    ask(async () => {
      const { messageCount, consumerCount } = await (await askingChannel()).checkQueue(queue);
      return { messages: messageCount, consumers: consumerCount };
    });

  const publishingChannel = async (): Promise<ConfirmChannel> => {
    if (publishing) return publishing;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, options.publishWaitMs);
      waiting.add(wake);
    });
    if (!publishing) throw new InfrastructureError('RabbitMQ is away: no connection to publish on');
    return publishing;
  };

  const ready = (): Readiness => {
    if (fatal) return { ok: false, why: fatal.message };
    if (blocked !== undefined) return { ok: false, why: `RabbitMQ blocks publishers: ${blocked}` };
    if (!publishing) return { ok: false, why: 'RabbitMQ is away' };
    return { ok: true };
  };

  return {
    async publish(publication) {
      const bytes = publication.content.length;
      unconfirmedBytes += bytes;
      try {
        await publishConfirmed(await publishingChannel(), publication, returned);
      } finally {
        unconfirmedBytes -= bytes;
      }
    },

    subscribe(queue, onDelivery) {
      const subscription = new RecoveringSubscription(queue, onDelivery, consumer, options, () =>
        subscriptions.delete(subscription),
      );
      subscriptions.add(subscription);
      return subscription;
    },

    async get(queue) {
      return ask(async () => {
        const opened = askingChannel();
        const channel = await opened;
        const message = await channel.get(queue, { noAck: false });
        return message === false ? undefined : deliveryOf(channel, message, () => asking === opened);
      });
    },

    async depth(queue) {
      return (await inspect(queue)).messages;
    },

    inspect,

    ready,

    hasRoom() {
      const readiness = ready();
      if (!readiness.ok || unconfirmedBytes <= maxUnconfirmedBytes) return readiness;
      return {
        ok: false,
        why: `RabbitMQ has yet to confirm ${unconfirmedBytes.toLocaleString('en-US')} bytes`,
      };
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
        const both = Promise.all([
          publisher.then((model) => model.waitForConnect()),
          consumer.then((model) => model.waitForConnect()),
        ]);
        await Promise.race([both, late, failed]);
      } finally {
        clearTimeout(timer);
      }
    },

    async close() {
      closing = true;
      for (const wake of waiting) wake();
      await Promise.all([...subscriptions].map((subscription) => subscription.close()));
      await Promise.all([(await publisher).close(), (await consumer).close()]);
    },
  };
}

/** Whatever keeps RabbitMQ from answering is no message's fault. */
async function ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  try {
    return await question();
  } catch (cause) {
    if (cause instanceof InfrastructureError) throw cause;
    throw new InfrastructureError('RabbitMQ did not answer a question about a queue', { cause });
  }
}
