/** Makes numbers that look random, from 0 to below 1, the same ones each time for one seed (mulberry32). */
export function randomFrom(seed: number) {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    /** A whole number from 0 to below `limit`. */
    below: (limit: number) => Math.floor(next() * limit),
    /** One of them; undefined if there is none. */
    one: <T>(of: readonly T[]): T | undefined => of[Math.floor(next() * of.length)],
    /** Some of them, at least one if there is one. */
    some: <T>(of: readonly T[]): T[] => {
      const first = Math.floor(next() * of.length);
      return of.filter((_, at) => at === first || next() < 0.3);
    },
  };
}
