import type { SwitchRegistry } from './definition.ts';
import { parseRule } from './parse.ts';
import type { Rule } from './rule.ts';
import type { Snapshot } from './snapshot.ts';
import type { SwitchState } from './switch.ts';
import { SwitchValueError } from './value-error.ts';
import type { Stamp, Znode } from './zookeeper.ts';

/** Where things are said; a pino logger fits. */
export interface SwitchLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/**
 * What happened:
 *
 * - `value`: a new value applies. - `absent`: there is no znode (any more), the fallback applies.
 * - `malformed`: a new value can't be used; told once for each such value. What applied before still does.
 * - `connected`: all values are up to date. - `away`: ZooKeeper can't be had, the last known values stay.
 */
export type SwitchChange =
  | ValueChange
  | { readonly kind: 'absent'; readonly name: string }
  | MalformedChange
  | { readonly kind: 'connected' }
  | { readonly kind: 'away'; readonly error: string };

interface ValueChange extends Stamp {
  readonly kind: 'value';
  readonly name: string;
  readonly raw: string;
  readonly rule: Rule;
}

interface MalformedChange extends Stamp {
  readonly kind: 'malformed';
  readonly name: string;
  readonly raw: string;
  /** What is wrong with it, every mistake. */
  readonly error: string;
}

/** A switch as a person may want to see it. */
export interface SwitchStatus {
  /** The znode's text as last read; null if there is none, or none is known. */
  readonly raw: string | null;
  /** The znode's version; `applied` is of an earlier one if this is malformed. */
  readonly version: number | null;
  readonly changedAt: Date | null;
  /** The value that is evaluated; null if it is the fallback. */
  readonly applied: { readonly rule: Rule; readonly version: number } | null;
  /** Why the znode's value can't be used, couldn't be read, or is lost; null if all is well. */
  readonly error: string | null;
}

/** One registered switch; its `applied` and `error` are what evaluation looks at. */
interface Entry extends SwitchState {
  applied: { readonly rule: Rule; readonly version: number; readonly znode: Znode } | undefined;
  error: string | undefined;
  seen: Znode | 'absent' | undefined;
  lost: boolean;
}

const lostError =
  'ZooKeeper has lost its data, or another server answers in its place; the last known value stays: set it again';

/** Holds what a process knows of its switches, and turns what ZooKeeper says into rules and changes. */
export class KnownSwitches {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #log: SwitchLog;
  readonly #onChange: (change: SwitchChange) => void;
  #unregistered: readonly string[] = [];
  #dataSet: string | undefined;

  constructor(registry: SwitchRegistry, log: SwitchLog, onChange: (change: SwitchChange) => void) {
    this.#entries = new Map(
      Object.entries(registry).map(([name, definition]) => [
        name,
        { name, definition, applied: undefined, error: undefined, seen: undefined, lost: false },
      ]),
    );
    this.#log = log;
    this.#onChange = onChange;
  }

  get(name: string): SwitchState | undefined {
    return this.#entries.get(name);
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Takes what an earlier process knew, as far as it can still be used. */
  restore({ dataSet, switches }: Snapshot): void {
    this.#dataSet = dataSet;
    for (const [name, { lost, ...znode }] of Object.entries(switches)) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      try {
        const { version } = znode;
        entry.applied = { rule: parseRule(entry.definition, znode.data), version, znode };
        entry.lost = lost;
      } catch (error) {
        this.#log.warn({ switch: name, err: error }, "the snapshot's value can't be used any more");
      }
    }
  }

  /** What a process that starts while ZooKeeper is away should know. */
  snapshot(): Snapshot {
    const switches: Snapshot['switches'] = {};
    for (const [name, { applied, lost }] of this.#entries)
      if (applied) switches[name] = { ...applied.znode, lost };
    return { dataSet: this.#dataSet, switches };
  }

  /**
   * Takes note of which data a connection has. If it isn't that of the one before, nobody deleted what is missing:
   * it is lost, and stays as last known until somebody sets it again.
   */
  began(dataSet: string | undefined): void {
    if (this.#dataSet !== undefined && dataSet !== this.#dataSet) {
      const names = [...this.#entries.values()].filter(({ applied }) => applied).map(({ name }) => name);
      for (const entry of this.#entries.values()) entry.lost = entry.applied !== undefined;
      if (names.length > 0) this.#log.error({ switches: names }, lostError);
    }
    this.#dataSet = dataSet ?? this.#dataSet;
  }

  /** Takes note that the place of the switches was made anew while it was watched: nothing is lost by that. */
  remade(dataSet: string): void {
    this.#dataSet = dataSet;
  }

  /** Takes a znode's value: parses it and applies it, or keeps the last good one. */
  value(name: string, znode: Znode): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const { seen } = entry;
    entry.lost = false;
    const same = typeof seen === 'object' && seen.mzxid === znode.mzxid && seen.data.equals(znode.data);
    entry.seen = znode;
    // Read again after a reconnect, but nothing new; a znode that couldn't be read has no `seen`.
    if (same) return;
    const { data, ...stamp } = znode;
    const { version } = stamp;
    const raw = data.toString();
    try {
      const rule = parseRule(entry.definition, data);
      entry.applied = { rule, version, znode };
      entry.error = undefined;
      this.#log.info({ switch: name, value: raw, version }, 'switch has a new value');
      this.#onChange({ kind: 'value', name, raw, rule, ...stamp });
    } catch (error) {
      if (!(error instanceof SwitchValueError)) throw error;
      entry.error = error.message;
      const kept = entry.applied === undefined ? 'the fallback' : `version ${entry.applied.version}`;
      this.#log.error(
        { switch: name, value: raw, version, problems: error.problems },
        `switch "${name}" has a value that can't be used (${error.message}); ${kept} stays in use`,
      );
      this.#onChange({ kind: 'malformed', name, raw, error: error.message, ...stamp });
    }
  }

  /** Takes note that there is no such znode: the fallback applies. */
  absent(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.seen === 'absent') return;
    if (entry.lost) {
      entry.seen = undefined;
      return;
    }
    const first = entry.seen === undefined && entry.applied === undefined;
    Object.assign(entry, { seen: 'absent', applied: undefined, error: undefined });
    const details = { switch: name, fallback: entry.definition.fallback };
    if (first) this.#log.info(details, 'switch has no znode, its fallback is in use');
    else this.#log.warn(details, 'switch was deleted, its fallback is in use');
    this.#onChange({ kind: 'absent', name });
  }

  /** Takes note that the znode is there but can't be read: what applied before still does. */
  unreadable(name: string, error: Error): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const message = `the znode can't be read: ${error.message}`;
    if (entry.error !== message)
      this.#log.error({ switch: name, err: error }, `switch "${name}": ${message}`);
    entry.error = message;
    entry.seen = undefined;
  }

  /** Takes the names of all znodes, to tell of those that no switch is registered for. */
  listed(names: readonly string[]): void {
    const unregistered = names.filter((name) => !this.#entries.has(name));
    const news = unregistered.filter((name) => !this.#unregistered.includes(name));
    this.#unregistered = unregistered;
    if (news.length > 0) {
      this.#log.warn(
        { switches: news },
        `no switch of this process is called ${news.join(' or ')}: no effect`,
      );
    }
  }

  /** Names of znodes that belong to no registered switch. */
  unregistered(): readonly string[] {
    return this.#unregistered;
  }

  /** Shows every switch, by name. */
  statuses(): Record<string, SwitchStatus> {
    return Object.fromEntries([...this.#entries].map(([name, entry]) => [name, statusOf(entry)]));
  }
}

function statusOf({ seen, applied, error, lost }: Entry): SwitchStatus {
  const znode = typeof seen === 'object' ? seen : undefined;
  return {
    raw: znode?.data.toString() ?? null,
    version: znode?.version ?? null,
    changedAt: znode?.changedAt ?? null,
    applied: applied ? { rule: applied.rule, version: applied.version } : null,
    error: lost ? lostError : (error ?? null),
  };
}
