import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Znode } from './zookeeper.ts';

/** What a process knew last, for one that starts while ZooKeeper is away. */
export interface Snapshot {
  /** Which data it came from: see `KnownSwitches.began`. */
  dataSet: string | undefined;
  /** The last good value of each switch that had one; `lost` if ZooKeeper had lost it already. */
  switches: Record<string, Znode & { lost: boolean }>;
}

/** How far the data had been seen when the snapshot was taken, at least; what is lost is of other data. */
export const seenIn = ({ dataSet, switches }: Snapshot): { dataSet: string | undefined; zxid: bigint } => ({
  dataSet,
  zxid: Object.values(switches).reduce((most, { lost, mzxid }) => (!lost && mzxid > most ? mzxid : most), 0n),
});

interface SnapshotLog {
  warn(details: object, message: string): void;
}

const format = 1;

/**
 * A file with the last known values of the switches below one root of one ZooKeeper.
 *
 * It is replaced as a whole, so that nobody reads half of one; processes with the same switches may share it.
 * That it can't be read or written is logged once, and stops nothing.
 */
export class SnapshotFile {
  readonly #path: string;
  readonly #of: { connect: string; root: string };
  readonly #log: SnapshotLog;
  #writing: Promise<void> | undefined;
  #next: (() => Snapshot) | undefined;
  #toldOfWriting = false;

  /** `dir` is made when it is needed; the name of the file comes from `connect` and `root`. */
  constructor(dir: string, of: { connect: string; root: string }, log: SnapshotLog) {
    const name = createHash('sha256').update(`${of.connect}\n${of.root}`).digest('hex').slice(0, 16);
    this.#path = join(dir, `switches-${name}.json`);
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
        switches: Object.fromEntries(
          Object.entries(written.switches).map(([name, { data, czxid, mzxid, ...rest }]) => [
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
        this.#log.warn({ err: error, file: this.#path }, 'the snapshot of the switches is of no use');
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
          this.#log.warn({ err: error, file: this.#path }, 'the snapshot of the switches can not be written');
        this.#toldOfWriting = true;
      }
    }
  }
}

function writtenOf(of: { connect: string; root: string }, { dataSet, switches }: Snapshot): Written {
  return {
    format,
    ...of,
    dataSet: dataSet ?? null,
    switches: Object.fromEntries(
      Object.entries(switches).map(([name, { data, czxid, mzxid, ...rest }]) => [
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

/** Reads a time; throws where it is none. */
function timeOf(text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new Error(`expected a time, got ${JSON.stringify(text)}`);
  return time;
}

/** The file's JSON. */
interface Written {
  format: number;
  connect: string;
  root: string;
  dataSet: string | null;
  switches: Record<
    string,
    {
      /** Base64: a value need not be text. */
      data: string;
      version: number;
      czxid: string;
      mzxid: string;
      changedAt: string;
      createdAt: string;
      lost: boolean;
    }
  >;
}
