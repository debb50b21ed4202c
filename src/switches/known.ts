import type { Znode } from './connection.ts';
import type { ZnodeChange, ZnodeKind, ZnodeLog, ZnodeStatus } from './kind.ts';
import type { Rule } from './rule.ts';
import type { Snapshot } from './snapshot.ts';

/** Where things are said of switches. */
export type SwitchLog = ZnodeLog;
/** A change of a switch; where there is no znode, its fallback applies. */
export type SwitchChange = ZnodeChange<{ readonly rule: Rule }>;
/** A switch as a person may want to see it. */
export type SwitchStatus = ZnodeStatus<{ readonly rule: Rule }>;

/** What is known of one name. */
export interface KnownZnode<Definition, Parsed extends object> {
  readonly name: string;
  readonly definition: Definition;
  /** The last good value; undefined while there is none. */
  readonly applied: (Parsed & { readonly version: number; readonly changedAt: Date }) | undefined;
  /** Why the znode's present value can't be used; undefined if it can, or if there is none. */
  readonly error: string | undefined;
  /** Whether ZooKeeper has lost the value that is applied. */
  readonly lost: boolean;
}

type Entry<Definition, Parsed extends object> = {
  -readonly [Key in keyof KnownZnode<Definition, Parsed>]: KnownZnode<Definition, Parsed>[Key];
} & {
  /** Where `applied` was written. */
  good: Znode | undefined;
  seen: Znode | 'absent' | undefined;
};

const lostError =
  'ZooKeeper has lost its data, or another server answers in its place; the last known value stays: set it again';

/** What `parse` throws for a value that makes no sense. */
const isMistake = (error: unknown): error is Error & { problems: readonly string[] } =>
  error instanceof Error && 'problems' in error && Array.isArray(error.problems);

/** Holds what a process knows of the znodes of one folder, and turns what ZooKeeper says into values and changes. */
export class KnownZnodes<Definition, Parsed extends object> {
  readonly #kind: ZnodeKind<Definition, Parsed>;
  readonly #entries: ReadonlyMap<string, Entry<Definition, Parsed>>;
  readonly #log: ZnodeLog;
  readonly #onChange: (change: ZnodeChange<Parsed>) => void;
  #unregistered: readonly string[] = [];
  #dataSet: string | undefined;

  constructor(
    kind: ZnodeKind<Definition, Parsed>,
    definitions: Readonly<Record<string, Definition>>,
    log: ZnodeLog,
    onChange: (change: ZnodeChange<Parsed>) => void,
  ) {
    const nothing = { applied: undefined, error: undefined, lost: false, good: undefined, seen: undefined };
    this.#kind = kind;
    this.#entries = new Map(
      Object.entries(definitions).map(([name, definition]) => [name, { name, definition, ...nothing }]),
    );
    this.#log = log;
    this.#onChange = onChange;
  }

  get(name: string): KnownZnode<Definition, Parsed> | undefined {
    return this.#entries.get(name);
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Takes what an earlier process knew, as far as it can still be used. */
  restore({ dataSet, znodes }: Snapshot): void {
    this.#dataSet = dataSet;
    for (const [name, { lost, ...znode }] of Object.entries(znodes)) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      try {
        this.#apply(entry, znode);
        entry.lost = lost;
      } catch (error) {
        this.#log.warn(
          { [this.#kind.words.one]: name, err: error },
          "the snapshot's value can't be used any more",
        );
      }
    }
  }

  /** What a process that starts while ZooKeeper is away should know. */
  snapshot(): Snapshot {
    const znodes: Snapshot['znodes'] = {};
    for (const [name, { good, lost }] of this.#entries) if (good) znodes[name] = { ...good, lost };
    return { dataSet: this.#dataSet, znodes };
  }

  /**
   * Takes note of which data a connection has. If it isn't that of the one before, nobody deleted what is missing:
   * it is lost, and stays as last known until somebody sets it again.
   */
  began(dataSet: string | undefined): void {
    if (this.#dataSet !== undefined && dataSet !== this.#dataSet) {
      const names = [...this.#entries.values()].filter(({ applied }) => applied).map(({ name }) => name);
      for (const entry of this.#entries.values()) entry.lost = entry.applied !== undefined;
      if (names.length > 0) this.#log.error({ [this.#kind.words.many]: names }, lostError);
    }
    this.#dataSet = dataSet ?? this.#dataSet;
  }

  /** Takes note that the folder was made anew while it was watched: nothing is lost by that. */
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
    const { one, otherwise } = this.#kind.words;
    const { data, ...stamp } = znode;
    const { version } = stamp;
    const raw = data.toString();
    try {
      const parsed = this.#apply(entry, znode);
      entry.error = undefined;
      this.#log.info({ [one]: name, value: raw, version }, `${one} has a new value`);
      this.#onChange({ kind: 'value', name, raw, ...parsed, ...stamp });
    } catch (error) {
      if (!isMistake(error)) throw error;
      entry.error = error.message;
      const kept = entry.applied === undefined ? `the ${otherwise}` : `version ${entry.applied.version}`;
      this.#log.error(
        { [one]: name, value: raw, version, problems: error.problems },
        `${one} "${name}" has a value that can't be used (${error.message}); ${kept} stays in use`,
      );
      this.#onChange({ kind: 'malformed', name, raw, error: error.message, ...stamp });
    }
  }

  /** Takes note that there is no such znode: what holds otherwise applies. */
  absent(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.seen === 'absent') return;
    if (entry.lost) {
      entry.seen = undefined;
      return;
    }
    const first = entry.seen === undefined && entry.applied === undefined;
    Object.assign(entry, { seen: 'absent', applied: undefined, good: undefined, error: undefined });
    const { one, otherwise } = this.#kind.words;
    const details = { [one]: name, ...this.#kind.otherwise(entry.definition) };
    if (first) this.#log.info(details, `${one} has no znode, its ${otherwise} is in use`);
    else this.#log.warn(details, `${one} was deleted, its ${otherwise} is in use`);
    this.#onChange({ kind: 'absent', name });
  }

  /** Takes note that the znode is there but can't be read: what applied before still does. */
  unreadable(name: string, error: Error): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const { one } = this.#kind.words;
    const message = `the znode can't be read: ${error.message}`;
    if (entry.error !== message) this.#log.error({ [one]: name, err: error }, `${one} "${name}": ${message}`);
    entry.error = message;
    entry.seen = undefined;
  }

  /** Takes the names of all znodes, to tell of those that nothing is registered for. */
  listed(names: readonly string[]): void {
    const unregistered = names.filter((name) => !this.#entries.has(name));
    const news = unregistered.filter((name) => !this.#unregistered.includes(name));
    this.#unregistered = unregistered;
    if (news.length === 0) return;
    const { one, many } = this.#kind.words;
    this.#log.warn({ [many]: news }, `no ${one} of this process is called ${news.join(' or ')}: no effect`);
  }

  /** Names of znodes that nothing is registered for. */
  unregistered(): readonly string[] {
    return this.#unregistered;
  }

  /** Shows every name with what is known of it. */
  statuses(): Record<string, ZnodeStatus<Parsed>> {
    return Object.fromEntries([...this.#entries].map(([name, entry]) => [name, statusOf(entry)]));
  }

  /** Throws what `parse` throws, and then leaves everything as it was. */
  #apply(entry: Entry<Definition, Parsed>, znode: Znode): Parsed {
    const parsed = this.#kind.parse(entry.definition, znode.data);
    entry.applied = { ...parsed, version: znode.version, changedAt: znode.changedAt };
    entry.good = znode;
    return parsed;
  }
}

function statusOf<Parsed extends object>({
  seen,
  applied,
  error,
  lost,
}: Entry<unknown, Parsed>): ZnodeStatus<Parsed> {
  const znode = typeof seen === 'object' ? seen : undefined;
  return {
    raw: znode?.data.toString() ?? null,
    version: znode?.version ?? null,
    changedAt: znode?.changedAt ?? null,
    applied: applied ?? null,
    error: lost ? lostError : (error ?? null),
  };
}
