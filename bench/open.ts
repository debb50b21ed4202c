import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { stackDown, stackUp } from '../src/stack/stack.ts';
import { openStore } from '../src/store/store.ts';

const name = 'bench';
const root = fileURLToPath(new URL('..', import.meta.url));

/** Servers of the benchmark's own, and one Chodang process built from this source. `close` ends all of it. */
export async function openBench(say: (line: string) => void) {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
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
  const child = spawn(process.execPath, ['dist/main.js', 'start', '--json'], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`chodang start ended with ${code} before it was ready`)));
    createInterface(child.stdout).on('line', (line) => {
      const said = JSON.parse(line) as { address?: string };
      if (said.address) resolve(said.address);
      else say(line);
    });
  });
  const store = openStore({ url: postgres.url ?? '', poolSize: 2, log: pino({ level: 'silent' }) });
  return {
    address,
    store,
    pid: child.pid ?? 0,
    /** The process's resident memory, in MB. */
    rssMb: (pid: number) =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024,
    /** What the simulator has delivered so far. */
    delivered: async () =>
      (await (await fetch(`${tms.url}/v1/stats`)).json()) as { delivered: number; maxPerKey: number },
    async close() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      await store.close();
      await stackDown({ name });
    },
  };
}
