import { type Connection, type Stamp } from './connection.ts';
import { makePath } from './path.ts';
import { serversOf } from './servers.ts';
import { type Access, connectTo, isRefused } from './zookeeper.ts';

/** Which ZooKeeper. */
export interface ZookeeperPlace extends Access {
  /** `host:port,host:port/chroot`. */
  connect: string;
}

/** What is written in a znode, and which state of it that is. */
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

/** Says that somebody else has changed a znode in the meantime, and that nothing was written. */
export class ZnodeChangedError extends Error {
  override name = 'ZnodeChangedError';
}

const sessionTimeoutMs = 10_000;

/** Reads what is written in some znodes of a folder, by name; null for one that is not there. Makes none. */
export function readZnodes(
  place: ZookeeperPlace,
  parent: string,
  names: readonly string[],
): Promise<Map<string, WrittenValue | null>> {
  return connected(place, async (connection) => {
    const read = async (name: string) => {
      const path = `${parent}/${name}`;
      return [name, await allowed(place, 'read', path, () => current(connection, path))] as const;
    };
    return new Map(await Promise.all(names.map(read)));
  });
}

/**
 * Changes a znode: `change` is given what is written there (null: nothing), and gives what is to be written instead;
 * null deletes it.
 *
 * It overwrites only the version that it has just read and, if given, only `ifVersion` (null: only if there is no
 * znode): else it throws a `ZnodeChangedError`. What `change` throws is thrown before anything is written. It throws
 * too if no server can be reached within a few seconds, or if ZooKeeper refuses the write.
 */
export async function changeZnode(
  place: ZookeeperPlace,
  parent: string,
  name: string,
  change: (before: WrittenValue | null) => string | null,
  { ifVersion }: { ifVersion?: number | null | undefined } = {},
): Promise<Omit<Written, 'now'> & { now: WrittenValue | null }> {
  const path = `${parent}/${name}`;
  return connected(place, async (connection) => {
    const before = await allowed(place, 'read', path, () => current(connection, path));
    const is = before?.version ?? null;
    if (ifVersion !== undefined && ifVersion !== is) throw changed(name, ifVersion, before);
    const raw = change(before);
    if (raw === (before?.raw ?? null)) return { now: before, before, changed: false };
    const stamp = await allowed(place, 'write', path, async () => {
      if (raw === null) return connection.remove(path, before?.version ?? 0);
      const data = Buffer.from(raw);
      return before ? connection.write(path, data, before.version) : create(connection, parent, path, data);
    });
    if (stamp === null || stamp === 'conflict') throw changed(name, is, await current(connection, path));
    const now = stamp === 'removed' || raw === null ? null : { raw, ...stamp };
    return { now, before, changed: true };
  });
}

/** Writes a znode, as `changeZnode` does. */
export async function writeZnode(
  place: ZookeeperPlace,
  parent: string,
  name: string,
  raw: string,
  options: { ifVersion?: number | null | undefined } = {},
): Promise<Written> {
  const { now, ...rest } = await changeZnode(place, parent, name, () => raw, options);
  if (now === null) throw new Error(`${parent}/${name} was written, and is not there`);
  return { now, ...rest };
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

function changed(name: string, expected: number | null, now: WrittenValue | null): ZnodeChangedError {
  const was = expected === null ? 'no value' : `version ${expected}`;
  const is = now ? `version ${now.version}, ${now.raw}` : 'no value';
  return new ZnodeChangedError(
    `somebody else has changed ${name}: expected ${was}, it has ${is}. Nothing was written; look at it and set it again`,
  );
}

/** Says in plain words that somebody lacks the rights for what he does. */
async function allowed<T>(
  { auth }: Access,
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

async function connected<T>(place: ZookeeperPlace, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connectToAny(place);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

async function connectToAny({ connect, auth, acl }: ZookeeperPlace): Promise<Connection> {
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
