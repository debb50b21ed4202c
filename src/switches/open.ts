import { atMost } from './at-most.ts';
import { registryProblems, type SwitchRegistry } from './definition.ts';
import { KnownSwitches, type SwitchChange, type SwitchLog, type SwitchStatus } from './known.ts';
import { switchesPath } from './path.ts';
import { SnapshotFile, seenIn } from './snapshot.ts';
import { type Evaluation, evaluateSwitch, type SwitchContext, unknownSwitch } from './switch.ts';
import { watchZnodes } from './watch.ts';
import { type Access, aclOf, serversOf } from './zookeeper.ts';

/** What `openSwitches` must know. */
export interface SwitchesOptions<Registry extends SwitchRegistry = SwitchRegistry> extends Access {
  /** `host:port,host:port/chroot`. */
  connect: string;
  /** The znodes are at `<root>/switches/<name>`; missing parents are made where that is allowed. */
  root: string;
  registry: Registry;
  log: SwitchLog;
  /** Default 10,000; the server may settle for another one within its own bounds. */
  sessionTimeoutMs?: number;
  /** How long `openSwitches` waits for the first values before it goes on without. Default 2,000. */
  connectWaitMs?: number;
  /** How long a server is left alone that knows less than was seen before: see `Watched`. Default 30,000. */
  behindMostMs?: number;
  /**
   * Folder for a file with the last known values, from which a process starts that finds ZooKeeper away. It is made
   * where it is missing. Default: no such file.
   */
  snapshotDir?: string | undefined;
  /** Is told of each change, for metrics and for those who follow live. */
  onChange?: (change: SwitchChange) => void;
}

/** All switches of a process as they are now. */
export interface SwitchesStatus<Name extends string = string> {
  readonly connected: boolean;
  /** Since when ZooKeeper is away; null if it isn't. */
  readonly awaySince: Date | null;
  /** Why ZooKeeper is away, as far as is known; null if it isn't. */
  readonly lastError: string | null;
  readonly switches: Readonly<Record<Name, SwitchStatus>>;
  /** Znodes next to the others that no registered switch belongs to; they have no effect. */
  readonly unregistered: readonly string[];
}

/** The live switches of a process. */
export interface Switches<Name extends string = string> {
  /** Decides in memory, at once, and never throws: in doubt it gives the fallback and says why. */
  evaluate(name: Name, context: SwitchContext): Evaluation;
  status(): SwitchesStatus<Name>;
  /** Tells `listener` of each change from now on; gives a function that stops that. */
  subscribe(listener: (change: SwitchChange) => void): () => void;
  /** Stops following; evaluation goes on with what is known, as `STALE`. Leaves no timer and no socket. */
  close(): Promise<void>;
}

/**
 * Opens the switches of a process: follows their znodes in ZooKeeper, over one session, until closed.
 *
 * It resolves when all values are there, or without them after `connectWaitMs`, and then keeps trying. It rejects
 * only for what waiting can't mend: a registry, a root or an address that makes no sense.
 */
export async function openSwitches<const Registry extends SwitchRegistry>(
  options: SwitchesOptions<Registry>,
): Promise<Switches<keyof Registry & string>> {
  const {
    connect,
    registry,
    log,
    sessionTimeoutMs = 10_000,
    connectWaitMs = 2_000,
    behindMostMs = 30_000,
  } = options;
  const problems = registryProblems(registry);
  if (problems.length > 0) throw new Error(`the switches can't be opened: ${problems.join('; ')}`);
  const parent = switchesPath(options.root);
  serversOf(connect);
  aclOf(options.acl);

  const file = options.snapshotDir
    ? new SnapshotFile(options.snapshotDir, { connect, root: options.root }, log)
    : undefined;
  const listeners = new Set<(change: SwitchChange) => void>();
  if (options.onChange) listeners.add(options.onChange);
  const tell = (change: SwitchChange) => {
    if (change.kind !== 'away') file?.write(() => known.snapshot());
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        log.error({ err: error, change: change.kind }, 'onChange threw; the switches go on');
      }
    }
  };
  const known = new KnownSwitches(registry, log, tell);
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
      behindMostMs,
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
        log.info({ connect, path: parent }, 'switches are up to date');
        tell({ kind: 'connected' });
        onSynced?.();
      },
      away: (err) => {
        const first = lastError === null;
        awaySince ??= new Date();
        lastError = err.message;
        if (!first) return;
        log.warn({ err, connect }, `ZooKeeper is away (${err.message}); switches stay as last known`);
        tell({ kind: 'away', error: err.message });
      },
    },
  );
  await atMost(connectWaitMs, firstSync);

  return {
    evaluate: (name, context) => {
      const state = known.get(name);
      if (state === undefined) return unknownSwitch(name, known.names());
      return evaluateSwitch(state, context, awaySince !== null);
    },
    status: () => ({
      connected: awaySince === null,
      awaySince,
      lastError,
      switches: known.statuses() as Record<keyof Registry & string, SwitchStatus>,
      unregistered: known.unregistered(),
    }),
    subscribe: (listener) => {
      const own = (change: SwitchChange) => listener(change);
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
