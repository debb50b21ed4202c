import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { stackDown, stackServers, stackUp } from '../src/stack/stack.ts';
import { migrate } from '../src/store/migrate.ts';
import { openStore } from '../src/store/store.ts';
import { cpuSecondsOf, rssMbOf } from './processes.ts';

const name = 'bench';
const root = fileURLToPath(new URL('..', import.meta.url));

/** A process that is measured. */
export interface Subject {
  /** Where it takes notices over HTTP; empty for one without the API. */
  address: string;
  /** Its resident memory now, in MB; with worker processes that of the largest. */
  rssMb(): number;
  /** Its processor time so far, in seconds, its worker processes' with it. */
  cpuSeconds(): number;
  /** Lets it settle what it holds and end. */
  stop(): Promise<void>;
}

/** What a process is started with. */
export interface StartOptions {
  /** Some parts of Chodang; default: all. */
  parts?: readonly string[];
  /** So many worker processes; default: one process. */
  workers?: number;
  /** Settings, as variables. */
  env?: Readonly<Record<string, string>>;
}

/**
 * Opens servers of the benchmark's own, with an empty schema, for processes built from this source. `close` ends all of it.
 */
export async function openServers(say: (line: string) => void) {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  await stackDown({ name, wipe: true });
  const { postgres, rabbitmq, zookeeper, tms } = await stackUp({ name, log: say });
  const urls = { postgres: String(postgres.url), rabbitmq: String(rabbitmq.url), tms: String(tms.url) };
  const env = {
    ...process.env,
    CHODANG_POSTGRES_URL: urls.postgres,
    CHODANG_RABBITMQ_URL: urls.rabbitmq,
    CHODANG_ZOOKEEPER: zookeeper.connect ?? '',
    CHODANG_ZOOKEEPER_SNAPSHOT_DIR: '', // from one, later starts in this clone would know what was set here
    CHODANG_TMS_URL: urls.tms,
    CHODANG_HTTP_PORT: '0',
    CHODANG_LOG_LEVEL: process.env['CHODANG_LOG_LEVEL'] ?? 'warn',
  };
  const subjects = new Set<Subject>();
  const servers = stackServers({ name });
  const store = openStore({
    url: urls.postgres,
    poolSize: 2,
    log: pino({ level: 'silent' }),
    statementTimeoutMs: 300_000, // for filling in a million rows, and vacuum
  });
  // When each transaction committed, so that the clock need not run until we have noticed.
  await store.query('alter system set track_commit_timestamp = on');
  await servers.postgres.stop();
  await servers.postgres.start();
  await migrate(store);
  return {
    say,
    urls,
    env,
    store,
    /** Starts Chodang, and waits until it says that it is ready. */
    async startChodang({ parts, workers, env: settings }: StartOptions = {}): Promise<Subject> {
      const args = ['start', '--json'];
      if (parts) args.push('--only', parts.join(','));
      if (workers !== undefined) args.push('--workers', String(workers));
      return this.start('dist/main.js', args, settings);
    },
    /** Starts a process, and waits for the line with its address. What else it logs is read, and shown but for what it tells of failed messages. */
    async start(
      command: string,
      args: readonly string[],
      settings: Readonly<Record<string, string>> = {},
    ): Promise<Subject> {
      const child = spawn(command, args, {
        cwd: root,
        env: { ...env, ...settings },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const pid = child.pid ?? 0;
      const gone = once(child, 'exit');
      const subject: Subject = {
        address: '',
        rssMb: () => rssMbOf(pid),
        cpuSeconds: () => cpuSecondsOf([pid]),
        async stop() {
          subjects.delete(subject);
          child.kill('SIGTERM');
          await gone;
        },
      };
      subjects.add(subject);
      subject.address = await new Promise<string>((resolve, reject) => {
        child.once('exit', (code) => reject(new Error(`${command} ended with ${code} before it was ready`)));
        createInterface(child.stdout).on('line', (line) => {
          if (line.startsWith('{"address":'))
            resolve((JSON.parse(line) as { address: string }).address ?? '');
          else if (!/"msg":"(a message failed|developers are alerted)/.test(line)) say(line);
        });
      });
      return subject;
    },
    /** The servers' processor time so far, in seconds; it tells more than the clock where the machine is shared. */
    cpuSeconds: () => ({
      postgresCpuSeconds: cpuSecondsOf(servers.postgres.pids),
      rabbitmqCpuSeconds: cpuSecondsOf(servers.rabbitmq.pids),
      simulatorCpuSeconds: cpuSecondsOf(servers.tms.pids),
    }),
    /** What the simulator has delivered so far; `recognized` are those that came again, and were not delivered again. */
    delivered: async () =>
      (await (await fetch(`${urls.tms}/v1/stats`)).json()) as {
        delivered: number;
        maxPerKey: number;
        recognized: number;
      },
    /** Lets the simulator forget all that it has delivered. */
    forgetDeliveries: async () => {
      await fetch(`${urls.tms}/v1/notifications`, { method: 'DELETE' });
    },
    async close() {
      for (const subject of subjects) await subject.stop();
      await store.close();
      await stackDown({ name, wipe: true });
    },
  };
}
