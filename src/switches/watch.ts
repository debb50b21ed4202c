import { setTimeout as delay } from 'node:timers/promises';
import { atMost } from './at-most.ts';
import { type Connection, ConnectionEnded, type Stamp, type Znode } from './connection.ts';
import { makePath } from './path.ts';
import { serversOf } from './servers.ts';
import { type Access, connectTo } from './zookeeper.ts';

/** Is told what ZooKeeper says. None of these may throw. */
export interface ZnodeListener {
  /** A connection begins. `dataSet` names the data it has, by its parent znode; undefined if there is none. */
  began(dataSet: string | undefined): void;
  /** Somebody made the parent znode (anew) while it was watched. */
  remade(dataSet: string): void;
  /** A value, at first or after a change; the same one may come again, after a reconnect for instance. */
  value(name: string, znode: Znode): void;
  absent(name: string): void;
  /** The znode is there but can't be read, most likely for lack of rights; tried again at the next heartbeat. */
  unreadable(name: string, error: Error): void;
  /** Names of all znodes there are. */
  listed(names: readonly string[]): void;
  /** Everything has been read; from now on each change is told. */
  synced(): void;
  /** The parent is missing and can't be made, most likely for lack of rights; it is waited for. */
  unmade(error: Error): void;
  /** ZooKeeper can't be had; told once for each failed try. */
  away(error: Error): void;
}

/** Where to look, and for what. */
export interface Watched extends Access {
  /** `host:port,host:port/chroot`. */
  connect: string;
  /** Path of the parent znode. */
  parent: string;
  /** The children to read. */
  names: readonly string[];
  sessionTimeoutMs: number;
  /** What is known already. */
  seen?: Seen | undefined;
  /**
   * For so long no server is followed that knows less of the same data than was seen before: it lags behind the others,
   * and would take flips back. If that lasts, the data were restored from a backup, and there is no other truth.
   */
  behindMostMs: number;
}

/** How far somebody has seen the data of ZooKeeper: which data, and the last transaction in it. */
export interface Seen {
  dataSet: string | undefined;
  zxid: bigint;
}

const retryFirstMs = 50;
const retryMostMs = 1000;

/**
 * Follows some children of a znode until it is told to stop, over one session at a time.
 *
 * Watches fire once and die with their connection, so everything is read and watched anew on every connection:
 * whatever happened in between is seen. Three times per session timeout it asks the server for the children, which
 * also finds out about a server that is paused or cut off without a word.
 *
 * Gives a function that stops it, and settles when no timer and no socket is left.
 */
export function watchZnodes(watched: Watched, listener: ZnodeListener): () => Promise<void> {
  const stop = new AbortController();
  const running = follow(watched, listener, stop.signal);
  return () => {
    stop.abort();
    return running;
  };
}

async function follow(watched: Watched, listener: ZnodeListener, signal: AbortSignal): Promise<void> {
  const servers = serversOf(watched.connect);
  // Each process starts with another server, so that not all sit on the first.
  let next = Math.floor(Math.random() * servers.length);
  let retryMs = retryFirstMs;
  /** Failed tries since the last success. */
  let failed = 0;
  const seen: Seen & { behindSince?: number | undefined } = { dataSet: undefined, zxid: 0n, ...watched.seen };
  while (!signal.aborted) {
    const server = servers[next++ % servers.length] ?? servers[0];
    try {
      // A session begins with a write to disk, which may take a moment: as in the Java client, one round through
      // all servers takes one session timeout.
      const connectWithinMs = watched.sessionTimeoutMs / servers.length;
      const connection = await connectTo(server, watched.sessionTimeoutMs, {
        ...watched,
        signal,
        connectWithinMs,
      });
      const close = () => void connection.close();
      signal.addEventListener('abort', close);
      try {
        await followConnection(connection, watched, seen, listener, () => {
          retryMs = retryFirstMs;
          failed = 0;
        });
      } finally {
        signal.removeEventListener('abort', close);
        await connection.close();
      }
    } catch (error) {
      if (signal.aborted) return;
      listener.away(error instanceof Error ? error : new Error(String(error)));
      failed += 1;
      // A pause after each round through all servers: the next one may well be there.
      if (failed % servers.length !== 0) continue;
      await pause(retryMs, signal);
      retryMs = Math.min(retryMs * 2, retryMostMs);
    }
  }
}

/** Reads and watches over one connection until that ends; always throws, its end or what else went wrong. */
async function followConnection(
  connection: Connection,
  { parent, names, behindMostMs }: Watched,
  seen: Seen & { behindSince?: number | undefined },
  listener: ZnodeListener,
  onSynced: () => void,
): Promise<never> {
  let end: ConnectionEnded | undefined;
  let wake: (() => void) | undefined;
  void connection.ended.then((reason) => {
    end = reason;
    wake?.();
  });
  /** Names whose watch is set. */
  const armed = new Set<string>();
  // One function per znode and for the parent, made once: the client drops a watcher that it has already.
  const onParent = () => wake?.();
  const watchers = names.map((name) => {
    const onChange = () => {
      armed.delete(name);
      wake?.();
    };
    return { name, onChange };
  });

  await makePath(connection, parent).catch((error: unknown) => {
    if (!(error instanceof Error) || error instanceof ConnectionEnded) throw error;
    listener.unmade(error);
  });
  const dataSet = dataSetOf(await connection.exists(parent));
  if (dataSet === seen.dataSet && connection.lastZxid() < seen.zxid) {
    seen.behindSince ??= Date.now();
    if (Date.now() - seen.behindSince < behindMostMs)
      throw new Error(`${connection.server}: it is behind what was seen before; another one is looked for`);
  }
  Object.assign(seen, { dataSet, zxid: connection.lastZxid(), behindSince: undefined });
  listener.began(dataSet);
  let synced = false;
  while (true) {
    // Before reading, so that a change in the middle of it is not lost.
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (end !== undefined) throw end;
    const [children, stamp] = await Promise.all([
      childrenOf(connection, parent, onParent),
      connection.exists(parent),
    ]);
    const now = dataSetOf(stamp);
    if (now !== undefined && now !== seen.dataSet) {
      seen.dataSet = now;
      listener.remade(now);
    }
    listener.listed(children);
    const present = new Set(children);
    const reads: Promise<void>[] = [];
    for (const { name, onChange } of watchers.filter(({ name }) => !armed.has(name))) {
      if (present.has(name)) reads.push(read(connection, parent, name, onChange, armed, listener));
      else listener.absent(name);
    }
    await Promise.all(reads);
    seen.zxid = connection.lastZxid();
    if (!synced) {
      synced = true;
      onSynced();
      listener.synced();
    }
    await atMost(connection.sessionTimeoutMs / 3, woken);
  }
}

/**
 * Tells one set of data from another: a server that came back without its data has another parent, or none. Its
 * transactions alone would not do: they begin at the same numbers.
 */
const dataSetOf = (parent: Stamp | null) =>
  parent ? `${parent.czxid}/${parent.createdAt.toISOString()}` : undefined;

/** Gives the children's names, and sees to it that `onChange` is called when they change or the parent appears. */
async function childrenOf(connection: Connection, parent: string, onChange: () => void): Promise<string[]> {
  while (true) {
    const children = await connection.children(parent, onChange);
    if (children !== null) return children;
    if ((await connection.exists(parent, onChange)) === null) return [];
  }
}

async function read(
  connection: Connection,
  parent: string,
  name: string,
  onChange: () => void,
  armed: Set<string>,
  listener: ZnodeListener,
): Promise<void> {
  armed.add(name);
  try {
    const znode = await connection.read(`${parent}/${name}`, onChange);
    if (znode !== null) return listener.value(name, znode);
    armed.delete(name);
    listener.absent(name);
  } catch (error) {
    armed.delete(name);
    if (!(error instanceof Error) || error instanceof ConnectionEnded) throw error;
    listener.unreadable(name, error);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
