/** How quickly lanes follow their load. */
export interface ScalingOptions {
  /** How often queue depths are looked at, in ms. */
  checkMs: number;
  /** A lane gets one more actor after so many looks in a row at a queue that stays deep. */
  growAfter: number;
  /** A lane loses one actor after so many looks in a row at which the others could do its work with ease. */
  shrinkAfter: number;
}

/** How many actors a lane may have. */
export interface ConsumerLimits {
  min: number;
  max: number;
}

/** What a supervisor sees of a lane at one moment. */
export interface Look {
  /** When, in ms, by a clock that is never set. */
  at: number;
  /** How many messages wait in its queue. */
  depth: number;
  /** How many actors consume it. */
  consumers: number;
  /** How many of them were at work on average since the look before: 1.5 is one and a half. */
  load: number;
}

/** Why the number of actors changes: the limits are others, the queue stays deep, or there is little to do. */
export type ScalingReason = 'limits' | 'deep queue' | 'little load';

/** What is remembered of a lane from look to look. */
export interface ScalingMemory {
  readonly deepLooks: number;
  readonly easyLooks: number;
  /** When an actor was last removed since there was little to do. */
  readonly shrunkAt: number | undefined;
  /** Since when the number of actors has stayed the same, or patience has. */
  readonly calmSince: number | undefined;
  /** How many times `shrinkAfter` looks it takes to remove an actor. */
  readonly patience: number;
}

/** What is remembered of a lane that nobody has looked at yet. */
export const noMemory: ScalingMemory = {
  deepLooks: 0,
  easyLooks: 0,
  shrunkAt: undefined,
  calmSince: undefined,
  patience: 1,
};

/** Who has to grow again so soon after shrinking (in units of `shrinkAfter` looks) has shrunk too early. */
const regretAfter = 20;
const mostPatience = 8;

/**
 * Decides after a look how many actors a lane is to have, one more or one fewer at a time; only limits that changed
 * are kept at once. Pure: whatever it has to remember it gives back.
 *
 * - It grows when more messages wait than one actor prefetches, at `growAfter` looks in a row.
 * - It shrinks when no more than that wait and the others would be busy for half of their time at most, at
 *   `shrinkAfter` looks in a row. So a load that one actor fewer could just carry does not go back and forth.
 * - A load that comes in waves would: each wave grows it, each pause shrinks it. Whoever has to grow again soon
 *   after shrinking needs twice as long to shrink the next time, up to eight times; that is forgotten, by halves,
 *   while the number stays the same.
 */
export function scale(
  memory: ScalingMemory,
  look: Look,
  limits: ConsumerLimits,
  { prefetch, scaling }: { prefetch: number; scaling: ScalingOptions },
): { memory: ScalingMemory; to: number; why: ScalingReason | undefined } {
  const { at, depth, consumers, load } = look;
  const inLimits = Math.min(Math.max(consumers, limits.min), limits.max);
  if (inLimits !== consumers) return { memory: { ...noMemory, calmSince: at }, to: inLimits, why: 'limits' };

  const regretMs = regretAfter * scaling.shrinkAfter * scaling.checkMs;
  const { shrunkAt } = memory;
  const isCalm = memory.calmSince !== undefined && at - memory.calmSince >= regretMs;
  const patience = isCalm ? Math.max(memory.patience / 2, 1) : memory.patience;
  const calmSince = isCalm ? at : memory.calmSince;
  const deep = depth > prefetch;
  // Messages that wait while nobody is at work are no sign of ease, but of something that is stuck.
  const easy = !deep && load <= (consumers - 1) / 2 && (depth === 0 || load > 0);
  const deepLooks = deep ? memory.deepLooks + 1 : 0;
  const easyLooks = easy ? memory.easyLooks + 1 : 0;

  if (deepLooks >= scaling.growAfter && consumers < limits.max) {
    const tooEarly = shrunkAt !== undefined && at - shrunkAt < regretMs;
    const next = tooEarly ? Math.min(2 * patience, mostPatience) : patience;
    return {
      // One shrink is regretted once, however many actors are added after it.
      memory: { ...noMemory, calmSince: at, patience: next },
      to: consumers + 1,
      why: 'deep queue',
    };
  }
  if (easyLooks >= scaling.shrinkAfter * patience && consumers > limits.min)
    return {
      memory: { ...noMemory, shrunkAt: at, calmSince: at, patience },
      to: consumers - 1,
      why: 'little load',
    };
  return { memory: { deepLooks, easyLooks, shrunkAt, calmSince, patience }, to: consumers, why: undefined };
}
