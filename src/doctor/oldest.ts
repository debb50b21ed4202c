/** One moment of what RabbitMQ's management remembers of a queue. */
export interface Moment {
  /** In ms since 1970, by RabbitMQ's clock. */
  at: number;
  /** Messages in the queue, those that consumers hold included. */
  messages: number;
  /** Those that consumers hold. */
  held: number;
  /** Deliveries until then, counted from some time before. */
  delivered: number;
}

/** The series of samples that moments are made of, the newest first, as the management API gives them. */
export interface Samples {
  messages: unknown;
  held: unknown;
  /** undefined where nothing has ever been delivered. */
  delivered: unknown;
}

/** Puts the samples of a queue together, oldest first, for the times that all of them have; empty where there are none. */
export function momentsOf({ messages, held, delivered }: Samples): Moment[] {
  const heldAt = byTime(held);
  const deliveredAt = delivered === undefined ? undefined : byTime(delivered);
  return [...byTime(messages)]
    .flatMap(([at, count]): Moment[] => {
      const [holds, deliveries] = [heldAt.get(at), deliveredAt ? deliveredAt.get(at) : 0];
      if (holds === undefined || deliveries === undefined) return [];
      return [{ at, messages: count, held: holds, delivered: deliveries }];
    })
    .toSorted((a, b) => a.at - b.at);
}

/** Goes back beyond fine moments with coarse ones, as far as those were earlier; without fine ones there are none. */
export function goingBack(fine: readonly Moment[], coarse: readonly Moment[]): Moment[] {
  const first = fine[0];
  return first ? [...coarse.filter(({ at }) => at < first.at), ...fine] : [];
}

/**
 * Tells for how long, at least, the oldest message of a queue had been in it at the last of these moments, in ms;
 * undefined if that can't be told.
 *
 * A message leaves a queue that has no TTL only after a delivery, so from one moment to the last one at most
 * `held then + delivered since - held at the last` have left. If there were more messages than that, some of them
 * are still there, whatever their order. Messages that are moved faster than this sees stay untold: it never says too much.
 */
export function waitedAtLeast(moments: readonly Moment[]): number | undefined {
  const last = moments.at(-1);
  if (!last || last.messages === 0) return undefined;
  let waited: number | undefined;
  for (const moment of moments.toReversed()) {
    // Empty, or emptied: whatever is there now came later.
    if (moment.messages === 0) break;
    const left = moment.held + last.delivered - moment.delivered - last.held;
    if (moment.messages > left) waited = last.at - moment.at;
  }
  return waited;
}

/** Tells for how long a queue has not been seen empty, in ms: as long as the moments reach back, at most. */
export function notEmptyFor(moments: readonly Moment[]): number {
  const last = moments.at(-1);
  if (!last) return 0;
  const full = moments.toReversed().findIndex(({ messages }) => messages === 0);
  const first = full === -1 ? moments[0] : moments.at(-full);
  return full === 0 || !first ? 0 : last.at - first.at;
}

function byTime(series: unknown): Map<number, number> {
  const samples = (series as { samples?: unknown } | null | undefined)?.samples;
  if (!Array.isArray(samples)) return new Map();
  return new Map(
    (samples as { timestamp?: unknown; sample?: unknown }[]).flatMap(({ timestamp, sample }) =>
      typeof timestamp === 'number' && typeof sample === 'number' ? [[timestamp, sample] as const] : [],
    ),
  );
}
