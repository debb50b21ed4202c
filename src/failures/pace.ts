/** Lets so many through a second. */
export interface Pace {
  /** How many may go now. */
  allows(): number;
  /** Says that so many went. */
  take(count: number): void;
}

/**
 * Makes a pace of `perSecond`; null lets all through. What was not used is kept for a second at most, so that a wait
 * is not followed by a flood.
 */
export function createPace(perSecond: number | null, now: () => number = () => performance.now()): Pace {
  if (perSecond === null) return { allows: () => Number.POSITIVE_INFINITY, take: () => undefined };
  const most = Math.max(1, perSecond);
  let credit = 1;
  let at = now();
  const earn = () => {
    const then = now();
    credit = Math.min(most, credit + ((then - at) / 1_000) * perSecond);
    at = then;
  };
  return {
    allows() {
      earn();
      return Math.floor(credit);
    },
    take(count) {
      credit -= count;
    },
  };
}
