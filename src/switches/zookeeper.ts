import zookeeper from 'node-zookeeper-client';
import { atMost } from './at-most.ts';
import { type Connection, ConnectionEnded, type Stamp, type Znode } from './connection.ts';

/** Who asks, and who may do what with the znodes that he makes. */
export interface Access {
  /** `user:password` for ZooKeeper's scheme `digest`; default: nobody in particular. */
  auth?: string | undefined;
  /**
   * Rights of every znode that is made, as zkCli writes them: `digest:editor:<hash>:cdrwa,world:anyone:r`.
   * Default: everyone may do everything.
   */
  acl?: string | undefined;
}

/** How one connection is made. */
export interface ConnectOptions extends Access {
  /** Ends the try. */
  signal?: AbortSignal;
  /** How long the server may take to begin a session. Default: a third of the session timeout. */
  connectWithinMs?: number;
}

/**
 * Connects to one server, given as `host:port` and perhaps a chroot.
 *
 * It rejects with a `ConnectionEnded` if the server refuses, doesn't begin a session within `connectWithinMs`, or
 * `signal` comes first, and with another error if `acl` makes no sense.
 */
export async function connectTo(
  server: string,
  sessionTimeoutMs: number,
  { signal, auth, acl, connectWithinMs = sessionTimeoutMs / 3 }: ConnectOptions = {},
): Promise<Connection> {
  const rights = aclOf(acl);
  if (signal?.aborted) throw new ConnectionEnded(`${server}: closed before connecting`);
  const client = zookeeper.createClient(server, {
    sessionTimeout: sessionTimeoutMs,
    spinDelay: 0,
    retries: 0,
  });
  const inner = client.connectionManager;
  // Sent before anything else: a new session has its rights from the start.
  if (auth) client.addAuthInfo('digest', Buffer.from(auth));
  let tellEnd: (end: ConnectionEnded) => void;
  const ended = new Promise<ConnectionEnded>((resolve) => {
    tellEnd = resolve;
  });
  const waiting = new Set<(error: Error) => void>();
  let end: ConnectionEnded | undefined;
  let closing: Promise<void> | undefined;
  let answerWithinMs = Math.ceil(connectWithinMs);

  function finish(reason: string, cause?: unknown): void {
    if (end !== undefined) return;
    end = new ConnectionEnded(`${server}: ${reason}`, cause === undefined ? undefined : { cause });
    for (const reject of waiting) reject(end);
    clearTimeout(inner.connectTimeoutHandler ?? undefined);
    inner.socket?.destroy();
    // The socket is made a tick after `connect`; destroy it also if the end comes before that.
    process.nextTick(() => {
      clearTimeout(inner.connectTimeoutHandler ?? undefined);
      inner.socket?.destroy();
    });
    tellEnd(end);
  }

  /** Asks the server; no answer in time is the end, for the client itself would wait forever. */
  function ask<T>(send: (callback: (error: Error | null, result?: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (end !== undefined) return reject(end);
      const timer = setTimeout(() => finish(`no answer within ${answerWithinMs} ms`), answerWithinMs);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        waiting.delete(rejectOnEnd);
        act();
      };
      const rejectOnEnd = (error: Error) => settle(() => reject(error));
      waiting.add(rejectOnEnd);
      send((error, result) =>
        settle(() => (error === null || error === undefined ? resolve(result as T) : reject(error))),
      );
    });
  }

  async function close(): Promise<void> {
    if (end !== undefined) return;
    // A session that is closed leaves the server at once; one that is cut off lingers until it expires.
    const closed = new Promise<void>((resolve) => inner.socket?.once('close', () => resolve()));
    client.close();
    await atMost(closeWithinMs, closed);
    finish('closed');
  }

  const connected = ask<void>((callback) => {
    client.on('state', (state) => {
      if (state === zookeeper.State.SYNC_CONNECTED) callback(null);
      if (state === zookeeper.State.AUTH_FAILED) finish('the server refused the authentication');
    });
  });
  client.connect();
  // From here on the client would reconnect by itself, with timers that can't be stopped and, after an
  // expired session, never again. Its wish to reconnect is the end instead.
  let socketError: Error | undefined;
  inner.connect = () => finish(socketError?.message ?? 'the server closed the connection', socketError);
  inner.onSocketError = (error) => {
    socketError = error;
    clearTimeout(inner.connectTimeoutHandler ?? undefined);
  };
  // It throws on a code or an event that it doesn't know, out of the socket, which would end the process.
  const receive = inner.onSocketData.bind(inner);
  inner.onSocketData = (bytes) => {
    try {
      receive(bytes);
    } catch (error) {
      finish(`an answer that the client doesn't understand: ${String(error)}`, error);
    }
  };
  const abort = () => finish('closed while connecting');
  signal?.addEventListener('abort', abort);
  try {
    await connected;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  const agreedMs = client.getSessionTimeout();
  answerWithinMs = Math.ceil(agreedMs / 3);

  return {
    server,
    sessionTimeoutMs: agreedMs,
    ended,
    children: (path, onChange) =>
      nullIf(
        noNode,
        ask<string[]>((callback) => client.getChildren(path, onChange, callback)),
      ),
    read: (path, onChange) =>
      nullIf(
        noNode,
        ask<Znode>((callback) => client.getData(path, onChange, znode(callback))),
      ),
    exists: async (path, onChange) => {
      const stat = await ask<zookeeper.Stat | null>((cb) => client.exists(path, onChange, cb));
      return stat && stampOf(stat);
    },
    rights: async (path) => {
      const acls = await nullIf(
        noNode,
        ask<zookeeper.ACL[]>((callback) => client.getACL(path, callback)),
      );
      return acls && acls.map(writtenRight);
    },
    create: async (path, data) =>
      (await nullIf(
        nodeExists,
        ask<string>((callback) => client.create(path, data, rights, callback)),
      )) !== null,
    write: (path, data, version = -1) =>
      unlessOther(async () =>
        stampOf(await ask<zookeeper.Stat>((cb) => client.setData(path, data, version, cb))),
      ),
    remove: (path, version) =>
      unlessOther(async () => {
        await ask<void>((callback) => client.remove(path, version, callback));
        return 'removed' as const;
      }),
    lastZxid: () => inner.zxid.readBigInt64BE(),
    close: () => (closing ??= close()),
  };
}

const closeWithinMs = 1000;
const noNode = zookeeper.Exception.NO_NODE;
const nodeExists = zookeeper.Exception.NODE_EXISTS;
const badVersion = zookeeper.Exception.BAD_VERSION;

type ReadCallback = (error: Error | null, data: Buffer | undefined, stat: zookeeper.Stat | undefined) => void;

function znode(callback: (error: Error | null, znode?: Znode) => void): ReadCallback {
  return (error, data, stat) => callback(error, stat && { data: data ?? Buffer.alloc(0), ...stampOf(stat) });
}

const stampOf = ({ version, czxid, mzxid, ctime, mtime }: zookeeper.Stat): Stamp => ({
  version,
  czxid: czxid.readBigInt64BE(),
  mzxid: mzxid.readBigInt64BE(),
  changedAt: new Date(Number(mtime.readBigInt64BE())),
  createdAt: new Date(Number(ctime.readBigInt64BE())),
});

const permissions = 'rwcda'; // bit 0 to 4

/** Reads rights as zkCli writes them; throws an error that says which of them can't be read. */
export function aclOf(written: string | undefined): zookeeper.ACL[] {
  if (!written) return zookeeper.ACL.OPEN_ACL_UNSAFE;
  return written.split(',').map((each) => {
    const [, scheme = '', id = '', letters = ''] = /^(\w+):(.*):([rwcda]+)$/.exec(each.trim()) ?? [];
    const bits = letters.split('').reduce((sum, letter) => sum | (1 << permissions.indexOf(letter)), 0);
    if (bits === 0)
      throw new Error(
        `"${each.trim()}" is no right in ZooKeeper; expected scheme:id:permissions, such as world:anyone:r`,
      );
    return new zookeeper.ACL(bits, new zookeeper.Id(scheme, id));
  });
}

/** Writes a right as zkCli does: `world:anyone:cdrwa`. */
export function writtenRight({ permission, id }: zookeeper.ACL): string {
  const letters = 'cdrwa'.split('').filter((letter) => permission & (1 << permissions.indexOf(letter)));
  return `${id.scheme}:${id.id}:${letters.join('')}`;
}

/** Whether ZooKeeper refused for lack of rights. */
export const isRefused = (error: unknown) => codeOf(error) === zookeeper.Exception.NO_AUTH;

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined);

async function nullIf<T>(code: number, answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (codeOf(error) === code) return null;
    throw error;
  }
}

/** Gives null if there is no such znode, `'conflict'` if it has another version. */
async function unlessOther<T>(change: () => Promise<T>): Promise<T | 'conflict' | null> {
  try {
    return await change();
  } catch (error) {
    if (codeOf(error) === noNode) return null;
    if (codeOf(error) === badVersion) return 'conflict';
    throw error;
  }
}
