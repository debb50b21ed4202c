import type { Config } from './config/schema.ts';
import {
  type LaneLimits,
  limitsOf,
  type Overridden,
  type Override,
  parseOverride,
} from './pipeline/override.ts';
import { openFolder } from './switches/folder.ts';
import type { ZnodeKind, ZnodeLog } from './switches/kind.ts';
import { folderPath } from './switches/path.ts';
import { readZnodes, type WrittenValue, type ZookeeperPlace } from './switches/znode.ts';

/** Overrides are znodes that say what holds for a lane, or a step, instead of the configuration. */
export const overrideKind: ZnodeKind<Overridden, { readonly override: Override }> = {
  folder: 'pipeline',
  words: { one: 'override', many: 'overrides', otherwise: 'configuration' },
  parse: (of, written) => ({ override: parseOverride(of, written) }),
  otherwise: (of) => (of === 'step' ? {} : of.consumers),
};

type Steps = Config['steps'];

/** Everything that can be overruled, by the name of its znode: each step, and each `<step>.<lane>`. */
export function overriddenIn(steps: Steps): Record<string, Overridden> {
  return Object.fromEntries(
    Object.entries(steps).flatMap(([step, { lanes }]): [string, Overridden][] => [
      [step, 'step'],
      ...Object.entries(lanes).map(([lane, { consumers }]): [string, Overridden] => [
        `${step}.${lane}`,
        { consumers },
      ]),
    ]),
  );
}

/** The overrides of a process, as it follows them. */
export interface Overrides {
  /** What holds for a lane now. */
  limitsOf(step: string, lane: string): LaneLimits;
  /** Tells `listener` from now on what holds for a lane, after each change that may concern it. */
  follow(listener: (step: string, lane: string, limits: LaneLimits) => void): void;
  /** Stops following; what is known stays. */
  close(): Promise<void>;
}

/**
 * Follows the overrides in ZooKeeper as switches are followed: what can't be used changes nothing, what was known last
 * holds while ZooKeeper is away, also after a restart, and where nothing is written the configuration does.
 *
 * It resolves when they are known, or after `zookeeper.connectWaitMs`. Without a ZooKeeper there are none.
 */
export async function openOverrides(
  { zookeeper, steps }: Pick<Config, 'zookeeper' | 'steps'>,
  { log, malformed }: { log: ZnodeLog; malformed: (name: string) => void },
): Promise<Overrides> {
  const overridden = overriddenIn(steps);
  const folder =
    zookeeper.connect === ''
      ? undefined
      : await openFolder(overrideKind, overridden, {
          ...zookeeper,
          log,
          onChange: (change) => {
            if (change.kind === 'malformed') malformed(change.name);
          },
        });
  const limits = (step: string, lane: string) =>
    limitsOf(consumersOf(steps, step, lane), { step, lane }, (name) => folder?.get(name)?.applied);
  return {
    limitsOf: limits,
    follow(listener) {
      folder?.subscribe((change) => {
        if (change.kind !== 'value' && change.kind !== 'absent') return;
        const [step = '', only] = change.name.split('.');
        for (const lane of Object.keys(steps[step]?.lanes ?? {}))
          if (only === undefined || lane === only) listener(step, lane, limits(step, lane));
      });
    },
    close: async () => folder?.close(),
  };
}

/** An override as it stands in ZooKeeper: what it says, or why it can't be used. */
export interface WrittenOverride extends WrittenValue {
  override: Override | undefined;
  /** Undefined if it can be used. */
  error: string | undefined;
}

/** Reads once all overrides there are, by the names of their znodes; makes none. */
export async function readOverrides(
  place: ZookeeperPlace & { root: string },
  steps: Steps,
): Promise<Map<string, WrittenOverride>> {
  const overridden = overriddenIn(steps);
  const found = await readZnodes(place, folderPath(place.root, overrideKind.folder), Object.keys(overridden));
  const written = new Map<string, WrittenOverride>();
  for (const [name, of] of Object.entries(overridden)) {
    const value = found.get(name);
    if (!value) continue;
    try {
      written.set(name, { ...value, override: parseOverride(of, value.raw), error: undefined });
    } catch (error) {
      written.set(name, { ...value, override: undefined, error: (error as Error).message });
    }
  }
  return written;
}

/** What holds for a lane, as far as ZooKeeper tells: running processes may still have an earlier value of one that can't be used. */
export function writtenLimitsOf(
  written: ReadonlyMap<string, WrittenOverride>,
  steps: Steps,
  step: string,
  lane: string,
): LaneLimits {
  return limitsOf(consumersOf(steps, step, lane), { step, lane }, (name) => {
    const found = written.get(name);
    return found?.override && { override: found.override, changedAt: found.changedAt };
  });
}

function consumersOf(steps: Steps, step: string, lane: string) {
  const consumers = steps[step]?.lanes[lane]?.consumers;
  if (!consumers) throw new Error(`there is no lane ${lane} of a step ${step}`);
  return consumers;
}
