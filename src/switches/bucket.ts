import murmurhash from 'murmurhash';

/** How many buckets there are: one for each hundredth of a percent. */
export const bucketCount = 10_000;

/**
 * Tells which of 10,000 buckets `key` falls into for `switchName`; the same answer on every machine, forever.
 *
 * Raising a percentage must only ever add keys, so this may not change: it would move customers
 * between the old path and the new one mid-rollout. Whole percentages agree with Unleash's
 * gradual rollout (murmur3 x86 32-bit of the UTF-8 bytes of `name:key`, seed 0, `hash mod 100 + 1 <= p`).
 */
export function bucketOf(switchName: string, key: string): number {
  const hash = murmurhash.v3(`${switchName}:${key}`, 0);
  return (hash % 100) * 100 + (Math.floor(hash / 100) % 100);
}
