/** The three exchanges every step shares; routing keys are `<step>.<lane>`. */
export const exchanges = {
  steps: 'chodang.steps',
  retriable: 'chodang.retriable',
  failed: 'chodang.failed',
} as const;
export type Exchange = (typeof exchanges)[keyof typeof exchanges];

export const queueOf = (step: string, lane: string) => `${step}.${lane}`;
export const retriableQueueOf = (step: string) => `${step}.retriable`;
export const failedQueueOf = (step: string) => `${step}.failed`;

/** What the topology is made from. */
export interface TopologyOptions {
  /** Each step's name, with how long a message waits in its `<step>.retriable` before it comes back, in ms. */
  steps: Record<string, { retryMs: number }>;
  lanes: readonly string[];
}

/** One queue, its arguments, and what it is bound to. */
export interface QueueDeclaration {
  name: string;
  arguments: Record<string, string | number>;
  bindings: { exchange: Exchange; pattern: string }[];
}

// Far away on purpose: a death by delivery limit, followed by an expiry in `.retriable`, is a cycle without
// a rejection, and RabbitMQ would not route it; the message would stick for good. We count redeliveries
// ourselves (`maxRedeliveries`). RabbitMQ 4 would put 20 here.
const deliveryLimit = 100_000;

// At-least-once dead-lettering keeps a message until its target has confirmed it; it needs reject-publish.
const deadLetterTo = (exchange: Exchange) => ({
  'x-queue-type': 'quorum',
  'x-dead-letter-exchange': exchange,
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
  'x-delivery-limit': deliveryLimit,
});

/**
 * Lists every queue of the pipeline: per step one for each lane, `<step>.retriable` and `<step>.failed`.
 *
 * `.retriable` dead-letters without a routing key of its own, so a message returns to its own lane.
 */
export function queuesOf({ steps, lanes }: TopologyOptions): QueueDeclaration[] {
  return Object.entries(steps).flatMap(([step, { retryMs }]) => [
    ...lanes.map((lane) => ({
      name: queueOf(step, lane),
      arguments: deadLetterTo(exchanges.retriable),
      bindings: [{ exchange: exchanges.steps, pattern: `${step}.${lane}` }],
    })),
    {
      name: retriableQueueOf(step),
      arguments: { ...deadLetterTo(exchanges.steps), 'x-message-ttl': retryMs },
      bindings: [{ exchange: exchanges.retriable, pattern: `${step}.#` }],
    },
    {
      name: failedQueueOf(step),
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': deliveryLimit },
      bindings: [{ exchange: exchanges.failed, pattern: `${step}.#` }],
    },
  ]);
}
