import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from './place.ts';
import { choosePorts, isFree, releasePorts } from './ports.ts';
import {
  type Command,
  end,
  familyOf,
  isAlive,
  launch,
  launchedIn,
  listensOn,
  type ProcessId,
  signal,
} from './process.ts';
import { giveTo, serverUser, type User } from './user.ts';

/** Where one server lives, and as whom: all that its commands and files are made of. */
export interface Place<Port extends string> {
  /** Its folder, ours alone to write in. */
  dir: string;
  /** The folder in it that belongs to the server. */
  data: string;
  ports: Record<Port, number>;
  /** Made once, for everything that needs one. */
  password: string;
  /** Undefined where it runs as ourselves. */
  user: User | undefined;
}

/** What differs between one kind of server and the other. */
export interface ServerKind<Port extends string = string> {
  readonly name: string;
  /** The unprivileged user it runs as when we are root; undefined if it runs as ourselves even then. */
  readonly user?: string;
  /** The ports it listens on; the first is the one its clients use. */
  readonly ports: readonly [Port, ...Port[]];
  /** How a clean stop is asked for. */
  readonly stopSignal: NodeJS.Signals;
  /** How long a start may take at most, in ms. */
  readonly startMs: number;
  /** Writes its files; called before each start, so it must leave alone what is already right. */
  prepare(place: Place<Port>): Promise<void>;
  /** A process that has to listen on `port` before the server starts, and is ended after it. */
  companion?(place: Place<Port>): { command: Command; port: number };
  command(place: Place<Port>): Command;
  /** Tells whether the server does its work, asked in its own protocol. May throw if it doesn't. */
  answers(place: Place<Port>): Promise<boolean>;
  /** What its clients connect with. */
  url(place: Place<Port>): string;
}

/** What `server.json` says. */
interface Known<Port extends string> {
  ports: Partial<Record<Port, number>>;
  main: ProcessId | null;
  companion: ProcessId | null;
  url: string | null;
}

/**
 * One server of this machine, whoever started it: what is known of it lies in its folder (`server.json`),
 * so any process can find it, look after it and end it. Its own output lies in `server.log`.
 */
export class Server<Port extends string = string> {
  readonly kind: ServerKind<Port>;
  readonly dir: string;
  readonly #data: string;
  readonly #log: string;
  readonly #state: string;

  constructor(kind: ServerKind<Port>, dir: string, fixedPort?: number) {
    this.kind = kind;
    this.dir = dir;
    makeFolder(dir);
    chmodSync(dir, 0o755); // also one from mkdtemp
    this.#data = join(dir, 'data');
    this.#log = join(dir, 'server.log');
    this.#state = join(dir, 'server.json');
    if (fixedPort !== undefined) {
      const record = this.#read();
      this.#write({ ...record, ports: { ...record.ports, [kind.ports[0]]: fixedPort } });
    }
  }

  /** Its process id now; undefined while it doesn't run. */
  get pid(): number | undefined {
    return this.#alive('main')?.pid;
  }

  /** The process ids of everything of this server that runs now. */
  get pids(): number[] {
    return this.#all().map((id) => id.pid);
  }

  /** What clients connect with. It stays the same over restarts unless something else took the port. */
  get url(): string {
    return this.kind.url(this.place);
  }

  /** Its port, or one of its others by name. Throws if it was never started. */
  port(name: Port = this.kind.ports[0]): number {
    return this.place.ports[name];
  }

  get place(): Place<Port> {
    const { ports } = this.#read();
    if (this.kind.ports.some((name) => ports[name] === undefined)) {
      throw new Error(`${this.kind.name} in ${this.dir} was never started: run "chodang stack up"`);
    }
    return this.#place(ports as Record<Port, number>);
  }

  /** Tells whether it runs and does its work. */
  async isUp(): Promise<boolean> {
    const main = this.#alive('main');
    if (main === undefined || (this.kind.companion && this.#alive('companion') === undefined)) return false;
    const { place } = this;
    if (!listensOn(main, this.port())) return false;
    return this.kind.answers(place).catch(() => false);
  }

  /**
   * Starts it, with the ports and data it had; returns when it does its work.
   *
   * One that is up is left as it is. One that runs without answering gets a little time, and is then
   * ended and started anew, as are remains of an earlier life. Ports taken by others are replaced.
   * Throws with the last lines of its log if it can't be started.
   */
  async start(): Promise<void> {
    if (await this.isUp()) return;
    const main = this.#alive('main');
    if (main) {
      for (const member of familyOf(main)) signal(member, 'SIGCONT');
      if (await this.#isUpWithin(main, 10_000)) return;
    }
    await this.stop();
    for (let attempt = 1; ; attempt++) {
      const problem = await this.#startOnce();
      if (problem === undefined) return;
      await this.stop();
      // Somebody else may have bound a port of ours since we looked.
      if (attempt === 3 || (await this.#portsAreFree())) throw problem;
    }
  }

  /** Stops it cleanly, and ends whatever else of it still runs. Does nothing if nothing does. */
  async stop(): Promise<void> {
    const main = this.#alive('main');
    if (main) {
      // A stopped (SIGSTOP) child would keep its parent waiting.
      for (const member of familyOf(main)) signal(member, 'SIGCONT');
      await end(main, this.kind.stopSignal, 30_000);
    }
    await Promise.all(this.#all().map((id) => end(id, 'SIGTERM', 5_000)));
    const record = this.#read();
    if (record.main || record.companion) this.#write({ ...record, main: null, companion: null, url: null });
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Ends it as a power cut would: SIGKILL to it and all its children. Returns when they are gone. */
  async kill(): Promise<void> {
    const main = this.#alive('main');
    if (main) await Promise.all(familyOf(main).map((id) => end(id, 'SIGKILL', 10_000)));
  }

  /** Freezes it and all its children (SIGSTOP): connections stay open and nothing answers. */
  pause(): void {
    const main = this.#alive('main');
    if (main) for (const member of familyOf(main)) signal(member, 'SIGSTOP');
  }

  /** Lets it go on after `pause` (SIGCONT). */
  resume(): void {
    const main = this.#alive('main');
    if (main) for (const member of familyOf(main)) signal(member, 'SIGCONT');
  }

  async #startOnce(): Promise<Error | undefined> {
    const ports = await choosePorts(this.kind.ports, this.#read().ports, this.dir);
    const from = this.#logSize();
    try {
      const place = this.#place(ports);
      this.#write({ ports, main: null, companion: null, url: null });
      await this.kind.prepare(place);
      const companion = await this.#startCompanion(place);
      const main = await this.#launch(this.kind.command(place));
      this.#write({ ports, main, companion, url: this.kind.url(place) });
      if (await this.#isUpWithin(main, this.kind.startMs)) return undefined;
      const what = isAlive(main)
        ? `did not answer within ${this.kind.startMs / 1000} s`
        : 'ended right after its start';
      return new Error(`${this.kind.name} ${what}. The last lines of ${this.#log}:\n${this.#tail(from)}`);
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      releasePorts(ports);
    }
  }

  async #startCompanion(place: Place<Port>): Promise<ProcessId | null> {
    if (!this.kind.companion) return null;
    const { command, port } = this.kind.companion(place);
    const id = await this.#launch(command);
    const deadline = Date.now() + this.kind.startMs;
    while (isAlive(id) && !listensOn(id, port) && Date.now() < deadline) await sleep(10);
    return id;
  }

  #launch(command: Command): Promise<ProcessId> {
    return launch(command, { dir: this.dir, log: this.#log, user: this.#user() });
  }

  async #isUpWithin(main: ProcessId, timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (isAlive(main) && Date.now() < deadline) {
      if (await this.isUp()) return true;
      await sleep(30);
    }
    return false;
  }

  async #portsAreFree(): Promise<boolean> {
    const free = await Promise.all(Object.values<number>(this.place.ports).map(isFree));
    return free.every(Boolean);
  }

  /** Also finds what no file knows of: a process whose parent was killed before it could write its id down. */
  #all(): ProcessId[] {
    const known = [this.#alive('main'), this.#alive('companion')].filter((id) => id !== undefined);
    const found = [...known, ...launchedIn(this.dir)];
    return [...new Map(found.map((id) => [id.pid, id])).values()];
  }

  #alive(which: 'main' | 'companion'): ProcessId | undefined {
    const id = this.#read()[which];
    return id && isAlive(id) ? id : undefined;
  }

  #user(): User | undefined {
    return this.kind.user === undefined ? undefined : serverUser(this.kind.user);
  }

  #place(ports: Record<Port, number>): Place<Port> {
    return { dir: this.dir, data: this.#data, ports, password: this.#password(), user: this.#user() };
  }

  #password(): string {
    const file = join(this.dir, 'password');
    if (!existsSync(file)) writeOnce(file, randomBytes(18).toString('base64url'));
    giveTo(this.#user(), file);
    return readFileSync(file, 'utf8');
  }

  #read(): Known<Port> {
    const nothing = { ports: {}, main: null, companion: null, url: null };
    if (!existsSync(this.#state)) return nothing;
    return { ...nothing, ...(JSON.parse(readFileSync(this.#state, 'utf8')) as Partial<Known<Port>>) };
  }

  #write(record: Known<Port>): void {
    writeOnce(this.#state, `${JSON.stringify(record, null, 2)}\n`);
  }

  /** A log that has grown big starts anew with the server. */
  #logSize(): number {
    if (!existsSync(this.#log)) return 0;
    if (statSync(this.#log).size > 20_000_000) truncateSync(this.#log);
    return statSync(this.#log).size;
  }

  #tail(from: number): string {
    const log = readFileSync(this.#log).subarray(from).toString('utf8').trim();
    return log.split('\n').slice(-20).join('\n') || '(empty)';
  }
}

/** Writes a file that only its owner may read, in one go: a reader never sees half of it. */
function writeOnce(file: string, text: string): void {
  const half = `${file}.${process.pid}`;
  writeFileSync(half, text, { mode: 0o600 });
  chmodSync(half, 0o600);
  renameSync(half, file);
}
