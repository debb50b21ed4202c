/** The three exchanges every step shares; routing keys are `<step>.<lane>`. */
export const exchanges = {
  steps: 'chodang.steps',
  retriable: 'chodang.retriable',
  failed: 'chodang.failed',
} as const;
type Exchange = (typeof exchanges)[keyof typeof exchanges];

export const queueOf = (step: string, lane: string) => `${step}.${lane}`;
export const retriableQueueOf = (step: string) => `${step}.retriable`;
export const failedQueueOf = (step: string) => `${step}.failed`;

/** What the topology is made from. */
export interface TopologyOptions {
  /** Each step's name, with how long a message waits in its `<step>.retriable` before it comes back, in ms. */
  steps: Record<string, { retryMs: number }>;
  lanes: readonly string[];
  /** Steps that stand alone, each with the way in for what others publish; none by default. */
  inlets?: Record<string, Inlet>;
}

/** The way in for messages that others publish, who know nothing of steps and lanes. */
export interface Inlet {
  /** As for every step. */
  retryMs: number;
  /** The one lane its step has. */
  lane: string;
  /** The topic exchange they publish to, with whatever routing key. */
  exchange: string;
}

/** One queue, its arguments, and what it is bound to. */
export interface QueueDeclaration {
  name: string;
  arguments: Record<string, string | number>;
  bindings: { exchange: string; pattern: string }[];
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

/** Lists every exchange: the three that the steps share, and those of the inlets. */
export const exchangesOf = ({ inlets = {} }: TopologyOptions): string[] => [
  ...Object.values(exchanges),
  ...Object.values(inlets).map(({ exchange }) => exchange),
];

/** Lists every step with the lanes that it has, those behind inlets last. */
export const stepsOf = ({ steps, lanes, inlets = {} }: TopologyOptions) => [
  ...Object.entries(steps).map(([name, { retryMs }]) => ({ name, retryMs, lanes })),
  ...Object.entries(inlets).map(([name, { retryMs, lane }]) => ({ name, retryMs, lanes: [lane] })),
];

/**
 * Lists every queue: per step one for each lane, `<step>.retriable` and `<step>.failed`.
 *
 * `.retriable` dead-letters without a routing key of its own, so a message returns to its own lane. Behind an inlet
 * the lane's queue has to name itself: a message came with the key of whoever published it.
 */
export function queuesOf(topology: TopologyOptions): QueueDeclaration[] {
  return stepsOf(topology).flatMap(({ name: step, retryMs, lanes }) => [
    ...lanes.map((lane) => laneQueue(step, lane, topology.inlets?.[step])),
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

function laneQueue(step: string, lane: string, inlet: Inlet | undefined): QueueDeclaration {
  const name = queueOf(step, lane);
  const routingKey = `${step}.${lane}`;
  const toRetriable = deadLetterTo(exchanges.retriable);
  if (!inlet)
    return { name, arguments: toRetriable, bindings: [{ exchange: exchanges.steps, pattern: routingKey }] };
  return {
    name,
    arguments: { ...toRetriable, 'x-dead-letter-routing-key': routingKey },
    bindings: [
      { exchange: inlet.exchange, pattern: '#' },
      { exchange: exchanges.steps, pattern: `${step}.#` },
    ],
  };
}
