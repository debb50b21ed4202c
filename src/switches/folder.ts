import { atMost } from './at-most.ts';
import type { ZnodeChange, ZnodeKind, ZnodeLog, ZnodeStatus } from './kind.ts';
import { type KnownZnode, KnownZnodes } from './known.ts';
import { folderPath } from './path.ts';
import { serversOf } from './servers.ts';
import { SnapshotFile, seenIn } from './snapshot.ts';
import { watchZnodes } from './watch.ts';
import { type Access, aclOf } from './zookeeper.ts';

/** Where a folder of znodes is, and how patiently it is followed. */
export interface FolderOptions<Parsed extends object> extends Access {
  /** `host:port,host:port/chroot`. */
  connect: string;
  /** The znodes are at `<root>/<folder>/<name>`; missing parents are made where that is allowed. */
  root: string;
  log: ZnodeLog;
  /** Default 10,000; the server may settle for another one within its own bounds. */
  sessionTimeoutMs?: number;
  /** How long the opening waits for the first values before it goes on without. Default 2,000. */
  connectWaitMs?: number;
  /** How long a server is left alone that knows less than was seen before: see `Watched`. Default 30,000. */
  behindMostMs?: number;
  /**
   * Folder for a file with the last known values, from which a process starts that finds ZooKeeper away. It is made
   * where it is missing. Default: no such file.
   */
  snapshotDir?: string | undefined;
  /** Is told of each change, for metrics and for those who follow live. */
  onChange?: (change: ZnodeChange<Parsed>) => void;
}

/** All znodes of a folder as they are now. */
export interface FolderStatus<Parsed extends object> {
  readonly connected: boolean;
  /** Since when ZooKeeper is away; null if it isn't. */
  readonly awaySince: Date | null;
  /** Why ZooKeeper is away, as far as is known; null if it isn't. */
  readonly lastError: string | null;
  readonly znodes: Readonly<Record<string, ZnodeStatus<Parsed>>>;
  /** Znodes next to the others that nothing is registered for; they have no effect. */
  readonly unregistered: readonly string[];
}

/** A folder of znodes as a process follows it. */
export interface Folder<Definition, Parsed extends object> {
  /** What is known of a name; undefined for one that has no definition. */
  get(name: string): KnownZnode<Definition, Parsed> | undefined;
  names(): string[];
  /** Whether ZooKeeper is away, or no longer followed. */
  isStale(): boolean;
  status(): FolderStatus<Parsed>;
  /** Tells `listener` of each change from now on; gives a function that stops that. */
  subscribe(listener: (change: ZnodeChange<Parsed>) => void): () => void;
  /** Stops following; what is known stays. Leaves no timer and no socket. */
  close(): Promise<void>;
}

/**
 * Follows the znodes of a folder in ZooKeeper, one for each definition, over one session, until closed.
 *
 * It resolves when all values are there, or without them after `connectWaitMs`, and then keeps trying. It rejects
 * only for what waiting can't mend: a root or an address that makes no sense.
 */
export async function openFolder<Definition, Parsed extends object>(
  kind: ZnodeKind<Definition, Parsed>,
  definitions: Readonly<Record<string, Definition>>,
  options: FolderOptions<Parsed>,
): Promise<Folder<Definition, Parsed>> {
  const { connect, root, log, sessionTimeoutMs = 10_000, connectWaitMs = 2_000 } = options;
  const { folder, words } = kind;
  const parent = folderPath(root, folder);
  serversOf(connect);
  aclOf(options.acl);

  const file = options.snapshotDir
    ? new SnapshotFile(options.snapshotDir, { connect, root, folder, many: words.many }, log)
    : undefined;
  const listeners = new Set<(change: ZnodeChange<Parsed>) => void>();
  if (options.onChange) listeners.add(options.onChange);
  const tell = (change: ZnodeChange<Parsed>) => {
    if (change.kind !== 'away') file?.write(() => known.snapshot());
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        log.error({ err: error, change: change.kind }, `onChange threw; the ${words.many} go on`);
      }
    }
  };
  const known = new KnownZnodes(kind, definitions, log, tell);
  const snapshot = await file?.read();
  if (snapshot) known.restore(snapshot);
  let awaySince: Date | null = new Date();
  let lastError: string | null = null;
  let onSynced: (() => void) | undefined;
  const firstSync = new Promise<void>((resolve) => {
    onSynced = resolve;
  });

  const stop = watchZnodes(
    {
      connect,
      parent,
      names: known.names(),
      sessionTimeoutMs,
      behindMostMs: options.behindMostMs ?? 30_000,
      auth: options.auth,
      acl: options.acl,
      seen: snapshot && seenIn(snapshot),
    },
    {
      value: (name, znode) => known.value(name, znode),
      absent: (name) => known.absent(name),
      unreadable: (name, error) => known.unreadable(name, error),
      began: (dataSet) => known.began(dataSet),
      remade: (dataSet) => known.remade(dataSet),
      listed: (names) => known.listed(names),
      unmade: (err) =>
        log.warn({ err, path: parent }, `${parent} is missing and can't be made; waiting for it`),
      synced: () => {
        awaySince = null;
        lastError = null;
        log.info({ connect, path: parent }, `${words.many} are up to date`);
        tell({ kind: 'connected' });
        onSynced?.();
      },
      away: (err) => {
        const first = lastError === null;
        awaySince ??= new Date();
        lastError = err.message;
        if (!first) return;
        log.warn({ err, connect }, `ZooKeeper is away (${err.message}); ${words.many} stay as last known`);
        tell({ kind: 'away', error: err.message });
      },
    },
  );
  await atMost(connectWaitMs, firstSync);

  return {
    get: (name) => known.get(name),
    names: () => known.names(),
    isStale: () => awaySince !== null,
    status: () => ({
      connected: awaySince === null,
      awaySince,
      lastError,
      znodes: known.statuses(),
      unregistered: known.unregistered(),
    }),
    subscribe: (listener) => {
      const own = (change: ZnodeChange<Parsed>) => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    close: async () => {
      awaySince ??= new Date();
      lastError ??= 'closed';
      await stop();
      await file?.close();
    },
  };
}
