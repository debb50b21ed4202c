import type { SwitchRegistry } from './definition.ts';
import { parseRule } from './parse.ts';
import { makePath, switchesPath } from './path.ts';
import { type Connection, connectTo, serversOf } from './zookeeper.ts';

/** Where the switches are and what they may be set to. */
export interface SwitchPlace {
  /** `host:port,host:port/chroot`. */
  connect: string;
  /** The znodes are at `<root>/switches/<name>`. */
  root: string;
  registry: SwitchRegistry;
}

/** What a write did. */
export interface Written {
  version: number;
  /** True if the switch had no znode before. */
  created: boolean;
}

const sessionTimeoutMs = 10_000;

/**
 * Writes a switch's value into ZooKeeper, in any of the forms that `parseRule` takes, and as it is.
 *
 * It throws before anything is written: if no such switch is registered, and a `SwitchValueError` if the value
 * makes no sense. It throws too if no server can be reached within a few seconds.
 */
export async function writeSwitch(place: SwitchPlace, name: string, value: string): Promise<Written> {
  const definition = place.registry[name];
  if (definition === undefined) {
    throw new Error(
      `"${name}" is not a registered switch; known are: ${Object.keys(place.registry).join(', ')}`,
    );
  }
  parseRule(definition, value);
  const parent = switchesPath(place.root);
  const connection = await connectToAny(place.connect);
  try {
    return await put(connection, parent, name, Buffer.from(value.trim()));
  } finally {
    await connection.close();
  }
}

async function put(connection: Connection, parent: string, name: string, data: Buffer): Promise<Written> {
  const path = `${parent}/${name}`;
  while (true) {
    const stamp = await connection.write(path, data);
    if (stamp === 'conflict') continue;
    if (stamp !== null) return { version: stamp.version, created: false };
    await makePath(connection, parent);
    if (await connection.create(path, data)) return { version: 0, created: true };
    // Somebody else made it in between: write over it.
  }
}

async function connectToAny(connect: string): Promise<Connection> {
  const problems: string[] = [];
  for (const server of serversOf(connect)) {
    try {
      return await connectTo(server, sessionTimeoutMs);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`ZooKeeper can't be reached (${problems.join('; ')}); nothing was written. Is it running?`);
}
