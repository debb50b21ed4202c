import type { Static } from 'typebox';
import {
  failedQueueOf,
  queueOf,
  retriableQueueOf,
  stepsOf,
  type TopologyOptions,
} from '../pipeline/topology.ts';
import { asked } from './asked.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { type Management, Overview, Queues } from './management.ts';
import { goingBack, type Moment, momentsOf, notEmptyFor, waitedAtLeast } from './oldest.ts';
import { counted, duration } from './words.ts';

/** A queue, and what is known of its last hour. */
export interface Watched {
  queue: Static<typeof Queues>[number];
  /** Empty where this RabbitMQ keeps no samples. */
  moments: readonly Moment[];
}

// RabbitMQ keeps ten minutes in steps of 5 s, and an hour in steps of a minute.
const windows = [
  { age: 600, step: 10 },
  { age: 3_600, step: 60 },
];

/**
 * Looks how long the oldest message of each queue has waited, without taking any: a delivery that is handed back
 * would count in `x-delivery-count`.
 *
 * A newer RabbitMQ may tell it (`head_message_timestamp`). Where it doesn't, as 3.10 doesn't of quorum queues, it
 * is reckoned from the samples of the management API: for how long at least, see `waitedAtLeast`.
 */
export function waitingFindings(management: Management, topology: TopologyOptions): Promise<Finding[]> {
  return asked(management, 'oldest messages', async () => {
    const watched = await watch(management);
    const findings = stepsOf(topology).flatMap(({ name: step, retryMs, lanes }) => [
      ...lanes.map((lane) =>
        oldestFinding(watched.get(queueOf(step, lane)), management, { warnMs: 60_000, wrongMs: 600_000 }),
      ),
      oldestRetriableFinding(watched.get(retriableQueueOf(step)), retryMs),
      oldestFinding(watched.get(failedQueueOf(step)), management, { warnMs: 60_000, wrongMs: 60_000 }),
    ]);
    const said = findings.filter((finding) => finding !== undefined);
    return said.length > 0 ? said : [ok('oldest messages', 'every queue is empty')];
  });
}

async function watch(management: Management): Promise<Map<string, Watched>> {
  const [overview, ...answers] = await Promise.all([
    management.ask('overview?columns=rates_mode,disable_stats', Overview),
    ...windows.map(({ age, step }) =>
      management.ask(
        `queues/${management.vhost}?lengths_age=${age}&lengths_incr=${step}&msg_rates_age=${age}` +
          `&msg_rates_incr=${step}&columns=name,messages,messages_dlx,head_message_timestamp,messages_details,` +
          'messages_unacknowledged_details,message_stats.deliver_get_details',
        Queues,
      ),
    ),
  ]);
  if (overview.disable_stats === true && !answers.flat().some(({ messages }) => messages !== undefined))
    throw new Error('it counts no messages: management_agent.disable_metrics_collector is set');
  const byName = new Map<string, Watched>();
  // The fine samples come first, and know what is now; the coarse ones lag, to the safe side.
  for (const queue of answers.flat()) {
    const before = byName.get(queue.name);
    const moments = overview.rates_mode === 'none' ? [] : momentsOf(samplesOf(queue));
    byName.set(
      queue.name,
      before ? { ...before, moments: goingBack(before.moments, moments) } : { queue, moments },
    );
  }
  return byName;
}

function samplesOf(queue: Static<typeof Queues>[number]) {
  const { messages_details, messages_unacknowledged_details, message_stats } = queue;
  const stats = message_stats as { deliver_get_details?: unknown } | null | undefined;
  return {
    messages: messages_details,
    held: messages_unacknowledged_details,
    delivered: stats?.deliver_get_details,
  };
}

/** Judges how long the oldest message of a lane or of `<step>.failed` has waited; undefined if there is none. */
export function oldestFinding(
  watched: Watched | undefined,
  { vhost }: Pick<Management, 'vhost'>,
  { warnMs, wrongMs }: { warnMs: number; wrongMs: number },
): Finding | undefined {
  if (!watched) return undefined;
  const { queue, moments } = watched;
  const { name, messages = 0 } = queue;
  if (messages === 0) return undefined;
  const check = `oldest message of ${name}`;
  const expected = `less than ${duration(warnMs)}`;
  const remedy =
    'see whether its step has consumers, and what is wrong with the servers it needs; to look at the message ' +
    `without taking it: rabbitmq-queues peek --vhost ${decodeURIComponent(vhost)} ${name} 1`;
  const published = queue.head_message_timestamp;
  const [ms, found] =
    typeof published === 'number'
      ? [
          Date.now() - published * 1_000,
          `published ${duration(Math.max(0, Date.now() - published * 1_000))} ago (of ${messages})`,
        ]
      : reckoned(messages, moments);
  if (ms === undefined) return warn(check, { found, expected, remedy });
  if (ms > wrongMs) return wrong(check, { found, expected, remedy });
  return ms > warnMs ? warn(check, { found, expected, remedy }) : ok(check, found);
}

/** Says what the samples tell of the oldest message: for how long it has waited at least, undefined if there are none. */
function reckoned(messages: number, moments: readonly Moment[]): [number | undefined, string] {
  const many = counted(messages, 'message');
  if (moments.length === 0)
    return [undefined, `${many}; how old is not told by this RabbitMQ, which keeps no samples either`];
  const waited = waitedAtLeast(moments) ?? 0;
  const told = 'reckoned: RabbitMQ does not tell it of this queue';
  if (waited > 0) return [waited, `${many}, the oldest there for at least ${duration(waited)} (${told})`];
  const full = notEmptyFor(moments);
  return [
    0,
    `${many}, which come and go${full === 0 ? '' : `; not seen empty for ${duration(full)}`} (${told})`,
  ];
}

/**
 * Judges how long messages wait in `<step>.retriable`; undefined if there are none.
 *
 * They leave after `retryMs`, as RabbitMQ sees to; unless no queue takes them back: then they stay, as dead letters
 * that nobody has confirmed.
 */
export function oldestRetriableFinding(watched: Watched | undefined, retryMs: number): Finding | undefined {
  if (!watched) return undefined;
  const { queue, moments } = watched;
  const { name, messages = 0, messages_dlx = 0 } = queue;
  if (messages === 0) return undefined;
  const check = `oldest message of ${name}`;
  const full = notEmptyFor(moments);
  const sampleMs = 20_000;
  if (messages_dlx === 0 || full <= 2 * retryMs + sampleMs)
    return ok(check, `${counted(messages, 'message')}, none longer than ${duration(retryMs)} (its TTL)`);
  return warn(check, {
    found:
      `${counted(messages_dlx, 'message')} of ${messages} waited ${duration(retryMs)} and did not get back to the ` +
      `lane yet; the queue was not seen empty for ${duration(full)}`,
    expected: `empty, or none older than ${duration(2 * retryMs)}`,
    remedy:
      "see whether the lane's queue and its binding are there, and whether it is full; restarting any process " +
      'declares what is missing, and RabbitMQ then hands them on by itself',
  });
}
