import type { Config } from '../config/schema.ts';
import { readOverrides, writtenLimitsOf } from '../overrides.ts';
import { describeSource, type OverrideSource } from '../pipeline/override.ts';
import { queueOf } from '../pipeline/topology.ts';
import { within } from './within.ts';

/**
 * Finds who has paused which lane, by the name of its queue. None where ZooKeeper can't tell: that is a finding of
 * its own.
 */
export async function pausesIn({ zookeeper, steps }: Config): Promise<Map<string, OverrideSource>> {
  const pauses = new Map<string, OverrideSource>();
  if (zookeeper.connect === '') return pauses;
  // That ZooKeeper is away is a finding of its own part; nobody is known to have paused anything then.
  const written = await within(readOverrides(zookeeper, steps)).catch(() => undefined);
  if (written)
    for (const [step, { lanes }] of Object.entries(steps))
      for (const lane of Object.keys(lanes)) {
        const { pause } = writtenLimitsOf(written, steps, step, lane);
        if (pause) pauses.set(queueOf(step, lane), pause);
      }
  return pauses;
}

/** Says of a lane without consumers who has paused it, and how to lift that. */
export const pausedTrouble = (pause: OverrideSource) => ({
  found: `paused by ${describeSource(pause)}`,
  expected: 'one consumer or more, once it is resumed',
  remedy: `"chodang pipeline resume ${pause.name}" when what it was paused for is over`,
});
