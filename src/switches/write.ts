import { registered, type SwitchRegistry } from './definition.ts';
import { parseRule } from './parse.ts';
import { makePath, switchesPath } from './path.ts';
import { type Access, type Connection, connectTo, isRefused, type Stamp, serversOf } from './zookeeper.ts';

/** Where the switches are and what they may be set to. */
export interface SwitchPlace extends Access {
  /** `host:port,host:port/chroot`. */
  connect: string;
  /** The znodes are at `<root>/switches/<name>`. */
  root: string;
  registry: SwitchRegistry;
}

/** A switch's znode: what is written in it, and which state of it that is. */
export interface WrittenValue extends Stamp {
  raw: string;
}

/** What a write did. */
export interface Written {
  /** The znode as it is after it. */
  now: WrittenValue;
  /** As it was before; null if there was none. */
  before: WrittenValue | null;
  /** False if it had this very value already: then nothing was written. */
  changed: boolean;
}

/** Says that somebody else has changed the switch in the meantime, and that nothing was written. */
export class SwitchChangedError extends Error {
  override name = 'SwitchChangedError';
}

const sessionTimeoutMs = 10_000;

/** Reads what is written in a switch's znode; null if there is none. Throws if no server can be reached. */
export function readSwitch(place: SwitchPlace, name: string): Promise<WrittenValue | null> {
  registered(place.registry, name);
  const path = pathOf(place, name);
  return connected(place, (connection) => allowed(place, 'read', path, () => current(connection, path)));
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
  { ifVersion }: { ifVersion?: number | null } = {},
): Promise<Written> {
  parseRule(registered(place.registry, name), value);
  const path = pathOf(place, name);
  const raw = value.trim();
  return connected(place, async (connection) => {
    const before = await allowed(place, 'read', path, () => current(connection, path));
    const [is, expected] = [before?.version ?? null, ifVersion];
    if (expected !== undefined && expected !== is) throw changed(name, expected, before);
    if (before?.raw === raw) return { now: before, before, changed: false };
    const stamp = await allowed(place, 'write', path, () =>
      before
        ? connection.write(path, Buffer.from(raw), before.version)
        : create(connection, switchesPath(place.root), path, Buffer.from(raw)),
    );
    if (stamp === null || stamp === 'conflict') throw changed(name, is, await current(connection, path));
    return { now: { raw, ...stamp }, before, changed: true };
  });
}

/** Makes the znode, and gives its first stamp; `'conflict'` if somebody else was quicker. */
async function create(
  connection: Connection,
  parent: string,
  path: string,
  data: Buffer,
): Promise<Stamp | 'conflict' | null> {
  await makePath(connection, parent);
  if (!(await connection.create(path, data))) return 'conflict';
  const made = await connection.exists(path);
  // Whatever was written since: it was created with the transaction that wrote the first value.
  return made && { ...made, version: 0, mzxid: made.czxid, changedAt: made.createdAt };
}

async function current(connection: Connection, path: string): Promise<WrittenValue | null> {
  const znode = await connection.read(path, () => undefined);
  if (!znode) return null;
  const { data, ...stamp } = znode;
  return { raw: data.toString(), ...stamp };
}

const pathOf = ({ root }: SwitchPlace, name: string) => `${switchesPath(root)}/${name}`;

function changed(name: string, expected: number | null, now: WrittenValue | null): SwitchChangedError {
  const was = expected === null ? 'no value' : `version ${expected}`;
  const is = now ? `version ${now.version}, ${now.raw}` : 'no value';
  return new SwitchChangedError(
    `somebody else has changed ${name}: expected ${was}, it has ${is}. Nothing was written; look at it and set it again`,
  );
}

/** Says in plain words that somebody lacks the rights for what he does. */
async function allowed<T>(
  { auth }: SwitchPlace,
  what: 'read' | 'write',
  path: string,
  does: () => Promise<T>,
): Promise<T> {
  try {
    return await does();
  } catch (error) {
    if (!isRefused(error)) throw error;
    const who = auth ? `"${auth.split(':')[0]}"` : 'somebody without a name';
    throw new Error(
      `ZooKeeper does not let ${who} ${what} ${path}; set CHODANG_ZOOKEEPER_AUTH to the user:password of one who may`,
      { cause: error },
    );
  }
}

async function connected<T>(place: SwitchPlace, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connectToAny(place);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

async function connectToAny({ connect, auth, acl }: SwitchPlace): Promise<Connection> {
  const problems: string[] = [];
  for (const server of serversOf(connect)) {
    try {
      return await connectTo(server, sessionTimeoutMs, { auth, acl });
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`ZooKeeper can't be reached (${problems.join('; ')}); nothing was written. Is it running?`);
}
