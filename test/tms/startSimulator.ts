import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Delivery, Stats } from '../../src/tms/simulator/account.ts';
import type { Faults } from '../../src/tms/simulator/faults.ts';

const main = fileURLToPath(new URL('../../src/tms/simulator/main.ts', import.meta.url));

/** A simulator in a process of its own, as tests use it. */
export interface Simulator {
  url: string;
  process: ChildProcess;
  /** Resolves when the process is gone, with its exit code and signal. */
  gone: Promise<{ code: number | null; signal: string | null }>;
  /** Returns an account that no other test uses, with what tests ask of it. */
  account(): SimulatorAccount;
  /** Ends the process as an operator would. */
  stop(): Promise<void>;
}

/** One account of a simulator, and what tests ask of it. */
export interface SimulatorAccount {
  url: string;
  faults(faults: Faults): Promise<void>;
  stats(): Promise<Stats>;
  deliveries(query?: string): Promise<Delivery[]>;
}

let accounts = 0;
const running = new Set<ChildProcess>();

/** Ends every simulator that a failed test left behind; for `after`. */
export async function endLeftovers(): Promise<void> {
  for (const child of running) {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

/** Starts the simulator on a free port and waits until it is ready. */
export async function startSimulator(dataFolder: string): Promise<Simulator> {
  const child = spawn(process.execPath, ['--import', 'tsx', main, '--data', dataFolder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  const gone = once(child, 'exit').then(([code, signal]) => {
    running.delete(child);
    return { code, signal };
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, 'line'),
    gone.then(({ code }) => Promise.reject(new Error(`the simulator ended with ${code}`))),
  ]);
  const url = /^TMS simulator ready on (http:\S+)$/.exec(String(line))?.[1];
  assert.ok(url, `expected the ready line, got ${line}`);
  return {
    url,
    process: child,
    gone,
    account: () => accountAt(`${url}/accounts/test-${++accounts}`),
    async stop() {
      child.kill('SIGTERM');
      assert.deepEqual(await gone, { code: 0, signal: null });
    },
  };
}

/** Asks things of the account (or, with the bare address, of the account `default`) at `url`. */
export function accountAt(url: string): SimulatorAccount {
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}${path}`);
    assert.equal(response.status, 200);
    return response.json();
  };
  return {
    url,
    async faults(faults) {
      const response = await fetch(`${url}/v1/faults`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(faults),
      });
      assert.equal(response.status, 200, await response.text());
    },
    stats: async () => (await get('/v1/stats')) as Stats,
    deliveries: async (query = 'limit=100000') => {
      const answer = (await get(`/v1/notifications?${query}`)) as { notifications: Delivery[] };
      return answer.notifications;
    },
  };
}

/** Makes a folder that `after` removes. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'chodang-tms-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
