import type { ChannelModel, ConfirmChannel, RecoveringChannelModel } from 'amqplib';
import { InfrastructureError } from '../errors.ts';
import type { Publication } from '../message.ts';
import { type ConnectionOptions, openConnection } from './connection.ts';
import { publishConfirmed } from './publish.ts';

export interface PublisherOptions extends ConnectionOptions {
  /** Declares the topology; runs after each connect, before anything is published. */
  declare: (model: ChannelModel) => Promise<void>;
  /** How long a publish waits for a channel while the connection is being renewed, in ms. */
  publishWaitMs: number;
  log: ConnectionOptions['log'] & { error(fields: object, message: string): void };
}

/** The connection on which a process publishes. */
export interface Publisher {
  /** The connection, whether it is up or not. */
  readonly connection: Promise<RecoveringChannelModel>;
  /** See `Broker.publish`. */
  publish(publication: Publication): Promise<void>;
  /** Why a publish would not go through now; undefined if it would. */
  whyNot(): string | undefined;
  /** How many bytes RabbitMQ has yet to confirm. */
  unconfirmedBytes(): number;
  /** Opens no more channels, and lets nobody wait for one. */
  stop(): void;
}

/** Opens the connection for publishing; its channel is opened again whenever RabbitMQ closes it. */
export function openPublisher(options: PublisherOptions): Publisher {
  const { log, declare, publishWaitMs } = options;
  let channel: ConfirmChannel | undefined;
  let blocked: string | undefined;
  let unconfirmedBytes = 0;
  let stopped = false;
  let mending = false;
  /** Ids of messages that came back. */
  const returned = new Set<string>();
  /** Those who wait for a channel. */
  const waiting = new Set<() => void>();

  const openChannel = async (model: ChannelModel) => {
    const opened = await model.createConfirmChannel();
    opened.on('error', (error) => log.error({ err: error }, 'RabbitMQ closed the publishing channel'));
    opened.on('return', (message) => {
      returned.add(String(message.properties.messageId));
      mend(model);
    });
    opened.on('close', () => {
      if (channel !== opened) return;
      channel = undefined;
      // The connection may well be up: a channel alone was closed. If it is down, its setup opens the next one.
      if (!stopped) openChannel(model).catch((error) => log.warn({ err: error }, 'no publishing channel'));
    });
    channel = opened;
    wakeAll();
  };

  const wakeAll = () => {
    for (const wake of waiting) wake();
    waiting.clear();
  };

  // Somebody removed a queue or a binding of ours: what is published next should find it again.
  const mend = (model: ChannelModel) => {
    if (mending || stopped) return;
    mending = true;
    declare(model)
      .then(() => log.warn({}, 'a message was returned; the topology has been declared again'))
      .catch((error: unknown) => log.error({ err: error }, 'the topology could not be declared again'))
      .finally(() => {
        mending = false;
      });
  };

  const connection = openConnection(options, 'publish', async (model) => {
    await declare(model);
    await openChannel(model);
  }).then((model) => {
    model.on('disconnect', () => {
      blocked = undefined;
    });
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

  const channelSoon = async (): Promise<ConfirmChannel> => {
    if (channel) return channel;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, publishWaitMs);
      waiting.add(wake);
    });
    if (!channel) throw new InfrastructureError('RabbitMQ is away: no connection to publish on');
    return channel;
  };

  return {
    connection,
    async publish(publication) {
      const bytes = publication.content.length;
      unconfirmedBytes += bytes;
      try {
        await publishConfirmed(await channelSoon(), publication, returned);
      } finally {
        unconfirmedBytes -= bytes;
      }
    },
    whyNot() {
      if (blocked !== undefined) return `RabbitMQ blocks publishers: ${blocked}`;
      return channel ? undefined : 'RabbitMQ is away';
    },
    unconfirmedBytes: () => unconfirmedBytes,
    stop() {
      stopped = true;
      wakeAll();
    },
  };
}
