import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Znode } from './connection.ts';

/** What a process knew last of the znodes of a folder, for one that starts while ZooKeeper is away. */
export interface Snapshot {
  /** Which data it came from: see `KnownZnodes.began`. */
  dataSet: string | undefined;
  /** The last good value of each name that had one; `lost` if ZooKeeper had lost it already. */
  znodes: Record<string, Znode & { lost: boolean }>;
}

/** How far the data had been seen when the snapshot was taken, at least; what is lost is of other data. */
export const seenIn = ({ dataSet, znodes }: Snapshot): { dataSet: string | undefined; zxid: bigint } => ({
  dataSet,
  zxid: Object.values(znodes).reduce((most, { lost, mzxid }) => (!lost && mzxid > most ? mzxid : most), 0n),
});

interface SnapshotLog {
  warn(details: object, message: string): void;
}

/** What a snapshot is of: one folder below one root of one ZooKeeper; `many` is what the log calls what is in it. */
interface SnapshotOf {
  connect: string;
  root: string;
  folder: string;
  many: string;
}

const format = 1;

/**
 * A file with the last known values of one folder of znodes, such as the switches.
 *
 * It is replaced as a whole, so that nobody reads half of one; processes with the same definitions may share it.
 * That it can't be read or written is logged once, and stops nothing.
 */
export class SnapshotFile {
  readonly #path: string;
  readonly #of: SnapshotOf;
  readonly #log: SnapshotLog;
  #writing: Promise<void> | undefined;
  #next: (() => Snapshot) | undefined;
  #toldOfWriting = false;

  /** `dir` is made when it is needed; the name of the file comes from what it is of. */
  constructor(dir: string, of: SnapshotOf, log: SnapshotLog) {
    const name = createHash('sha256').update(`${of.connect}\n${of.root}`).digest('hex').slice(0, 16);
    this.#path = join(dir, `${of.folder}-${name}.json`);
    this.#of = of;
    this.#log = log;
  }

  /** Reads it; undefined if there is none, or none that can be used. */
  async read(): Promise<Snapshot | undefined> {
    try {
      const written = JSON.parse(await readFile(this.#path, 'utf8')) as Written;
      if (written.format !== format || written.connect !== this.#of.connect || written.root !== this.#of.root)
        throw new Error(`expected format ${format} of ${this.#of.connect}${this.#of.root}`);
      return {
        dataSet: written.dataSet ?? undefined,
        znodes: Object.fromEntries(
          Object.entries(znodesIn(written, this.#of)).map(([name, { data, czxid, mzxid, ...rest }]) => [
            name,
            {
              version: rest.version,
              lost: rest.lost,
              data: Buffer.from(data, 'base64'),
              czxid: BigInt(czxid),
              mzxid: BigInt(mzxid),
              changedAt: timeOf(rest.changedAt),
              createdAt: timeOf(rest.createdAt),
            },
          ]),
        ),
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn({ err: error, file: this.#path }, `the snapshot of the ${this.#of.many} is of no use`);
      return undefined;
    }
  }

  /** Writes it soon; of several in a row, the last, which is only then taken. */
  write(snapshot: () => Snapshot): void {
    this.#next = snapshot;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Waits until what is to be written is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#next) {
      const take = this.#next;
      // Changes that come at once, as at a start, make one snapshot.
      await setImmediate();
      this.#next = undefined;
      try {
        const written = writtenOf(this.#of, take());
        await mkdir(dirname(this.#path), { recursive: true });
        const draft = `${this.#path}.${randomUUID()}`;
        await writeFile(draft, `${JSON.stringify(written, null, 2)}\n`, { flush: true });
        await rename(draft, this.#path);
        this.#toldOfWriting = false;
      } catch (error) {
        if (!this.#toldOfWriting)
          this.#log.warn(
            { err: error, file: this.#path },
            `the snapshot of the ${this.#of.many} can not be written`,
          );
        this.#toldOfWriting = true;
      }
    }
  }
}

function writtenOf({ connect, root, folder }: SnapshotOf, { dataSet, znodes }: Snapshot): Written {
  return {
    format,
    connect,
    root,
    dataSet: dataSet ?? null,
    [folder]: Object.fromEntries(
      Object.entries(znodes).map(([name, { data, czxid, mzxid, ...rest }]) => [
        name,
        {
          version: rest.version,
          lost: rest.lost,
          data: data.toString('base64'),
          czxid: String(czxid),
          mzxid: String(mzxid),
          changedAt: rest.changedAt.toISOString(),
          createdAt: rest.createdAt.toISOString(),
        },
      ]),
    ),
  };
}

/** Takes what stands in the file under the folder's name; throws where there is nothing. */
function znodesIn(written: Written, { folder }: SnapshotOf): Record<string, WrittenZnode> {
  const znodes = written[folder];
  if (typeof znodes !== 'object' || znodes === null) throw new Error(`expected an object "${folder}"`);
  return znodes as Record<string, WrittenZnode>;
}

/** Reads a time; throws where it is none. */
function timeOf(text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new Error(`expected a time, got ${JSON.stringify(text)}`);
  return time;
}

/** The file's JSON; the znodes stand in it under the name of their folder. */
interface Written {
  format: number;
  connect: string;
  root: string;
  dataSet: string | null;
  [folder: string]: unknown;
}

interface WrittenZnode {
  /** Base64: a value need not be text. */
  data: string;
  version: number;
  czxid: string;
  mzxid: string;
  changedAt: string;
  createdAt: string;
  lost: boolean;
}
