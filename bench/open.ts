import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { stackDown, stackServers, stackUp } from '../src/stack/stack.ts';
import { openStore } from '../src/store/store.ts';

const name = 'bench';
const root = fileURLToPath(new URL('..', import.meta.url));

/** A process that is measured. */
export interface Subject {
  /** Where it takes notices over HTTP; empty for one without the API. */
  address: string;
  /** Its resident memory now, in MB. */
  rssMb(): number;
  /** Its processor time so far, in seconds. */
  cpuSeconds(): number;
  /** Lets it settle what it holds and end. */
  stop(): Promise<void>;
}

/**
 * Opens empty servers of the benchmark's own, for processes built from this source. `close` ends all of it.
 *
 * `commitTimes`: Postgres keeps when each transaction committed.
 */
export async function openServers(say: (line: string) => void, { commitTimes = false } = {}) {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  await stackDown({ name, wipe: true });
  const { postgres, rabbitmq, zookeeper, tms } = await stackUp({ name, log: say });
  const urls = { postgres: String(postgres.url), rabbitmq: String(rabbitmq.url), tms: String(tms.url) };
  const env = {
    ...process.env,
    CHODANG_POSTGRES_URL: urls.postgres,
    CHODANG_RABBITMQ_URL: urls.rabbitmq,
    CHODANG_ZOOKEEPER: zookeeper.connect ?? '',
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
  if (commitTimes) {
    await store.query('alter system set track_commit_timestamp = on');
    await servers.postgres.stop();
    await servers.postgres.start();
  }
  return {
    urls,
    env,
    store,
    /** Starts Chodang, some `parts` of it or all, and waits until it says that it is ready. */
    async startChodang(parts?: readonly string[]): Promise<Subject> {
      const only = parts ? ['--only', parts.join(',')] : [];
      return this.start('dist/main.js', 'start', '--json', ...only);
    },
    /** Starts a process, and waits for the line with its address. What else it logs is read, and shown but for what it tells of failed messages. */
    async start(command: string, ...args: string[]): Promise<Subject> {
      const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
      const pid = child.pid ?? 0;
      const gone = once(child, 'exit');
      const subject: Subject = {
        address: '',
        rssMb: () =>
          Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024,
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
    /** What the simulator has delivered so far. */
    delivered: async () =>
      (await (await fetch(`${urls.tms}/v1/stats`)).json()) as { delivered: number; maxPerKey: number },
    async close() {
      for (const subject of subjects) await subject.stop();
      await store.close();
      await stackDown({ name, wipe: true });
    },
  };
}

/** Opens servers, and one Chodang process; if asked to, the bare process (bare.ts) beside it, on the same servers. */
export async function openBench(say: (line: string) => void, { bare = false } = {}) {
  const servers = await openServers(say);
  const { postgres, rabbitmq, tms } = servers.urls;
  const startBare = () =>
    servers.start(process.execPath, '--import', 'tsx', 'bench/bare.ts', postgres, rabbitmq, tms);
  return { ...servers, chodang: await servers.startChodang(), bare: bare ? await startBare() : undefined };
}

/** User and system time of processes and all their descendants, ended ones too; see proc(5): 100 ticks a second. */
function cpuSecondsOf(roots: readonly number[]): number {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const fields = statOf(name);
      return fields ? [{ pid: Number(name), parent: Number(fields[1]), ticks: fields.slice(11, 15) }] : [];
    });
  const family = new Set(roots);
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const { pid, parent } of processes) if (family.has(parent)) family.add(pid);
  }
  return processes
    .filter(({ pid }) => family.has(pid))
    .flatMap(({ ticks }) => ticks)
    .reduce((seconds, ticks) => seconds + Number(ticks) / 100, 0);
}

/** The fields of /proc/<pid>/stat from the third on; undefined if the process has just ended. */
function statOf(pid: string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}
