import type { Config } from './schema.ts';

/** Names the step that takes in what the shop tells of its orders. It stands beside the steps that notices pass. */
export const feedStep = 'orders';

/** The one lane of the order feed. */
export const feedLane = 'bulk';

/** The exchange that the shop's order system publishes to. */
export const feedExchange = 'chodang.orders';

/** Says which exchanges and queues there are with these settings; the same in every process. */
export const topologyOf = ({ steps, lanes, feed }: Pick<Config, 'steps' | 'lanes' | 'feed'>) => ({
  steps,
  lanes: Object.keys(lanes),
  inlets: { [feedStep]: { retryMs: feed.retryMs, lane: feedLane, exchange: feedExchange } },
});

/** Names every step whose messages can fail: those that notices pass, and the order feed. */
export const stepNamesOf = ({ steps }: Pick<Config, 'steps'>): string[] => [...Object.keys(steps), feedStep];
