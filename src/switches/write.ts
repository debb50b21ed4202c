import { registered, type SwitchRegistry } from './definition.ts';
import { parseRule } from './parse.ts';
import { switchesPath } from './path.ts';
import { readZnodes, type Written, type WrittenValue, writeZnode, type ZookeeperPlace } from './znode.ts';

export { type Written, type WrittenValue, ZnodeChangedError as SwitchChangedError } from './znode.ts';

/** Where the switches are and what they may be set to. */
export interface SwitchPlace extends ZookeeperPlace {
  /** The znodes are at `<root>/switches/<name>`. */
  root: string;
  registry: SwitchRegistry;
}

/** Reads what is written in a switch's znode; null if there is none. Throws if no server can be reached. */
export async function readSwitch(place: SwitchPlace, name: string): Promise<WrittenValue | null> {
  registered(place.registry, name);
  return (await readZnodes(place, switchesPath(place.root), [name])).get(name) ?? null;
}

/**
 * Writes a switch's value into ZooKeeper, in any of the forms that `parseRule` takes, and as it is.
 *
 * It overwrites only the version that it has just read or, if given, `ifVersion` (null: only if there is no znode):
 * else it throws a `SwitchChangedError`. It throws before anything is written: if no such switch is registered, and a
 * `SwitchValueError` if the value makes no sense. It throws too if no server can be reached within a few seconds,
 * or if ZooKeeper refuses the write.
 */
export async function writeSwitch(
  place: SwitchPlace,
  name: string,
  value: string,
  options: { ifVersion?: number | null } = {},
): Promise<Written> {
  parseRule(registered(place.registry, name), value);
  return writeZnode(place, switchesPath(place.root), name, value.trim(), options);
}
