import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { stackDown, stackServers, stackUp } from '../src/stack/stack.ts';
import { openStore } from '../src/store/store.ts';

const name = 'bench';
const root = fileURLToPath(new URL('..', import.meta.url));

/** A process that takes notices over HTTP. */
export interface Subject {
  address: string;
  /** Its resident memory now, in MB. */
  rssMb(): number;
  /** Its processor time so far, in seconds. */
  cpuSeconds(): number;
}

/**
 * Opens empty servers of the benchmark's own, and one Chodang process built from this source; if asked to, the
 * bare process (bare.ts) beside it, on the same servers. `close` ends all of it.
 */
export async function openBench(say: (line: string) => void, { bare = false } = {}) {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  await stackDown({ name, wipe: true });
  const { postgres, rabbitmq, zookeeper, tms } = await stackUp({ name, log: say });
  const env = {
    ...process.env,
    CHODANG_POSTGRES_URL: postgres.url ?? '',
    CHODANG_RABBITMQ_URL: rabbitmq.url ?? '',
    CHODANG_ZOOKEEPER: zookeeper.connect ?? '',
    CHODANG_TMS_URL: tms.url ?? '',
    CHODANG_HTTP_PORT: '0',
    CHODANG_LOG_LEVEL: process.env['CHODANG_LOG_LEVEL'] ?? 'warn',
  };
  const children: ChildProcess[] = [];
  const start = async (command: string, ...args: string[]): Promise<Subject> => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    const pid = child.pid ?? 0;
    const address = await new Promise<string>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`${command} ended with ${code} before it was ready`)));
      createInterface(child.stdout).on('line', (line) => {
        if (line.startsWith('{"address":')) resolve((JSON.parse(line) as { address: string }).address);
        else say(line);
      });
    });
    return {
      address,
      rssMb: () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024,
      cpuSeconds: () => cpuSecondsOf([pid]),
    };
  };
  const chodang = await start('dist/main.js', 'start', '--json');
  const bareArgs = [postgres.url, rabbitmq.url, tms.url].map(String);
  const other = bare
    ? await start(process.execPath, '--import', 'tsx', 'bench/bare.ts', ...bareArgs)
    : undefined;
  const servers = stackServers({ name });
  const store = openStore({ url: postgres.url ?? '', poolSize: 2, log: pino({ level: 'silent' }) });
  return {
    chodang,
    bare: other,
    store,
    /** The servers' processor time so far, in seconds; it tells more than the clock where the machine is shared. */
    cpuSeconds: () => ({
      postgresCpuSeconds: cpuSecondsOf(servers.postgres.pids),
      rabbitmqCpuSeconds: cpuSecondsOf(servers.rabbitmq.pids),
      simulatorCpuSeconds: cpuSecondsOf(servers.tms.pids),
    }),
    /** What the simulator has delivered so far. */
    delivered: async () =>
      (await (await fetch(`${tms.url}/v1/stats`)).json()) as { delivered: number; maxPerKey: number },
    async close() {
      for (const child of children) {
        child.kill('SIGTERM');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      await store.close();
      await stackDown({ name, wipe: true });
    },
  };
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
