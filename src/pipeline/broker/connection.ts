import { type ChannelModel, connect, type RecoveringChannelModel } from 'amqplib';
import { closeSurely } from './close.ts';

export interface ConnectionOptions {
  url: string;
  /** Shown in RabbitMQ's management page. */
  name: string;
  log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

const reconnect = { initialDelay: 100, maxDelay: 5_000 };

/**
 * Opens a connection that is made, and made again after a loss, in the background; `setup` runs each time, before
 * anybody else gets to use it.
 */
export async function openConnection(
  { url, name, log }: ConnectionOptions,
  purpose: string,
  setup: (model: ChannelModel) => Promise<void>,
): Promise<RecoveringChannelModel> {
  const model: RecoveringChannelModel = await connect(url, {
    clientProperties: { connection_name: `${name} ${purpose}` },
    noDelay: true,
    timeout: 5_000,
    recovery: {
      ...reconnect,
      waitForConnect: false,
      // amqplib listens to a connection only once `setup` is through: what happens to it before is ours.
      setup: async (made: ChannelModel) => {
        closeSurely(made);
        let gone: Error | undefined;
        made.on('error', (error: Error) => log.warn({ err: error, purpose }, 'RabbitMQ connection error'));
        made.on('close', (error?: Error) => {
          gone = error ?? new Error('RabbitMQ closed the connection');
        });
        await setup(made);
        if (gone) throw gone;
      },
    },
  });
  model.on('connect', () => log.info({ purpose }, 'connected to RabbitMQ'));
  model.on('disconnect', (error) =>
    log.warn({ err: error, purpose }, 'RabbitMQ connection lost; reconnecting'),
  );
  model.on('connect-failed', (error) => log.warn({ err: error, purpose }, 'RabbitMQ is away; trying again'));
  model.on('error', (error) => log.warn({ err: error, purpose }, 'RabbitMQ connection error'));
  return model;
}
