import type { Stamp } from './connection.ts';
import { registered } from './definition.ts';
import type { SwitchChange, SwitchLog } from './known.ts';
import { parseRule } from './parse.ts';
import { SwitchValueError } from './value-error.ts';
import type { SwitchPlace, WrittenValue } from './write.ts';

/** One version of a switch, as history keeps it. */
export interface SwitchVersion extends Stamp {
  name: string;
  raw: string;
  /** Who wrote it, and why; null if nobody said so, as with zkCli. */
  who: string | null;
  note: string | null;
  /** Why it can't be used; null if it can. */
  error: string | null;
}

/** Where history is kept, for ZooKeeper itself knows the last value only. */
export interface SwitchHistory {
  /** Keeps a version, once, however often it is told; who and why are filled in where they were unknown. */
  keep(version: SwitchVersion): Promise<void>;
  /** The versions of a switch, the newest first. */
  versions(name: string, limit: number): Promise<SwitchVersion[]>;
}

/** What lies between two versions that history has: some that nobody saw, or the znode was made anew. */
export interface Gap {
  /** The first and the last of them; none if only the znode was deleted and made again. */
  unseen: { from: number; to: number } | undefined;
  remade: boolean;
}

/**
 * Puts what is missing between the versions of a history, the newest first, where it is missing; also before the
 * first one if these are `all` that there are.
 */
export function withGaps(versions: readonly SwitchVersion[], { all = true } = {}): (SwitchVersion | Gap)[] {
  return versions.flatMap((version, at) => {
    const older = versions[at + 1];
    if (!older) {
      if (!all || version.version === 0) return [version];
      return [version, { unseen: { from: 0, to: version.version - 1 }, remade: false }];
    }
    const remade = !isSameZnode(older, version);
    const from = remade ? 0 : older.version + 1;
    const unseen = from < version.version ? { from, to: version.version - 1 } : undefined;
    return remade || unseen ? [version, { unseen, remade }] : [version];
  });
}

/** Whether two versions are of one znode, and not of one that was deleted and made again, or lost with all data. */
export const isSameZnode = (a: Stamp, b: Stamp): boolean =>
  a.czxid === b.czxid && a.createdAt.getTime() === b.createdAt.getTime();

/** Makes a version of what is written in a switch; its note is that of the value, unless another is given. */
export function versionOf(
  { registry }: Pick<SwitchPlace, 'registry'>,
  name: string,
  written: WrittenValue,
  { who = null, note }: { who?: string | null; note?: string | undefined } = {},
): SwitchVersion {
  try {
    const rule = parseRule(registered(registry, name), written.raw);
    return { name, ...written, who, note: note ?? rule.note ?? null, error: null };
  } catch (error) {
    if (!(error instanceof SwitchValueError)) throw error;
    return { name, ...written, who, note: note ?? null, error: error.message };
  }
}

const mostWaiting = 1_000;

/**
 * Keeps every version that a process sees. Whatever happens to the history happens beside the process: what can't be
 * kept now is tried again every `retryMs`, up to a thousand versions, and then the oldest are gone.
 */
export function recordChanges(
  history: Pick<SwitchHistory, 'keep'>,
  log: Pick<SwitchLog, 'warn'>,
  { retryMs = 5_000 } = {},
): { take(change: SwitchChange): void; close(): Promise<void> } {
  const waiting: SwitchVersion[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let told = false;
  let closed = false;

  async function keepAll(): Promise<void> {
    for (let version = waiting[0]; version; version = waiting[0]) {
      try {
        await history.keep(version);
        waiting.splice(waiting.indexOf(version), 1);
        told = false;
      } catch (error) {
        if (!told)
          log.warn({ err: error, switch: version.name }, 'a change of a switch could not be recorded');
        told = true;
        if (!closed) timer = setTimeout(start, retryMs);
        return;
      }
    }
  }

  function start(): void {
    timer = undefined;
    running ??= keepAll().finally(() => {
      running = undefined;
    });
  }

  return {
    take(change) {
      if (change.kind !== 'value' && change.kind !== 'malformed') return;
      const { name, raw, version, czxid, mzxid, changedAt, createdAt } = change;
      const error = change.kind === 'malformed' ? change.error : null;
      const note = change.kind === 'value' ? (change.rule.note ?? null) : null;
      // Not the first: that one may be on its way.
      if (waiting.length >= mostWaiting) waiting.splice(1, 1);
      waiting.push({ name, raw, version, czxid, mzxid, changedAt, createdAt, who: null, note, error });
      if (timer === undefined) start();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
      await keepAll(); // what waited for the next try
      if (waiting.length > 0)
        log.warn({ versions: waiting.length }, 'changes of switches were not recorded: they show as a gap');
    },
  };
}
