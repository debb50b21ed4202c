import orders from './actors/orders.ts';
import type { Config } from './config/schema.ts';
import { feedLane, feedStep } from './config/topology.ts';
import type { Actor } from './pipeline/actor.ts';
import type { Broker } from './pipeline/broker/broker.ts';
import type { PipelineObserver } from './pipeline/observer.ts';
import { startPipeline } from './pipeline/pipeline.ts';
import { type FeedHeader, type FeedItem, orderFormat } from './rules/orderFormat.ts';
import type { Store } from './store/store.ts';

type FeedActor = Actor<FeedHeader, FeedItem>;

/**
 * Starts to follow the shop's orders: a pipeline of one step, which takes events from RabbitMQ and writes them to
 * Postgres. `drain` stops consuming, settles what is held, and leaves broker and store open.
 */
export function startOrderFeed(
  { feed, pipeline }: Pick<Config, 'feed' | 'pipeline'>,
  parts: {
    store: Store;
    broker: Broker;
    observer: PipelineObserver;
    /** Lets tests stand before the actor. */
    wrap?: ((actor: FeedActor) => FeedActor) | undefined;
  },
): { drain(): Promise<void> } {
  const { store, broker, observer, wrap = (actor) => actor } = parts;
  const { prefetch, batch, consumers, ...settings } = feed;
  return startPipeline({
    broker,
    format: orderFormat,
    steps: { [feedStep]: { ...settings, lanes: { [feedLane]: { prefetch, batch, consumers } } } },
    actors: { [feedStep]: wrap(orders({ store })) },
    ...pipeline,
    observer,
  });
}
