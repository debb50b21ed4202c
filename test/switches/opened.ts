import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { zkCli as zkCliPath } from '../../src/stack/zookeeper.ts';
import type { SwitchChange } from '../../src/switches/known.ts';
import { openSwitches, type Switches } from '../../src/switches/open.ts';
import { writeSwitch } from '../../src/switches/write.ts';
import type { Access } from '../../src/switches/zookeeper.ts';
import { until } from '../support/wait.ts';

/** The switches of these tests. */
export const registry = {
  'delay-notice-path': { variants: ['legacy', 'actors', 'shadow'], by: 'sellerId', fallback: 'legacy' },
  other: { variants: ['off', 'on'], by: 'sellerId', fallback: 'off' },
} as const;

/** Where the switches of a test are. */
export interface Where {
  connect: string;
  root: string;
}

/** Opens switches that remember what they logged and told. */
export async function opened(
  where: Where,
  options: Access & {
    connectWaitMs?: number;
    behindMostMs?: number;
    snapshotDir?: string;
    onChange?: () => void;
  } = {},
) {
  const logged: string[] = [];
  const changes: SwitchChange[] = [];
  const logTo = (level: string) => (_: object, message: string) => logged.push(`${level}: ${message}`);
  const switches = await openSwitches({
    ...where,
    registry,
    sessionTimeoutMs: 1_000,
    log: { info: logTo('info'), warn: logTo('warn'), error: logTo('error') },
    ...options,
    onChange: (change) => {
      changes.push(change);
      options.onChange?.();
    },
  });
  const path = () => switches.evaluate('delay-notice-path', { sellerId: 's-17' });
  return { ...switches, path, logged, changes };
}

/** Waits until switches follow ZooKeeper (again). */
export async function connectedAgain({ status }: Pick<Switches, 'status'>): Promise<void> {
  const answer = () => status().connected || assert.fail(status().lastError ?? 'no error is known');
  await until(answer, { what: 'ZooKeeper is followed' });
}

/** Runs one command of plain zkCli, such as `set /path 25%`. */
export async function zkCli({ connect }: Pick<Where, 'connect'>, ...command: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(zkCliPath, ['-server', connect, ...command]);
  return stdout;
}

/** Flips `delay-notice-path`, making its znode where there is none. */
export function flip(where: Where & Access, value: string, options: { ifVersion?: number | null } = {}) {
  return writeSwitch({ ...where, registry }, 'delay-notice-path', value, options);
}

/** What a follower said last. */
export interface Said {
  kind: string;
  variant: string;
  reason: string;
}

/** A process that follows the switches. */
export interface Follower {
  readonly process: ChildProcess;
  readonly said: Said[];
  last(): Said | undefined;
  /** Lets it close the switches, and gives its exit code once it has ended by itself. */
  end(): Promise<number | null>;
}

/** Starts a process that follows the switches (see `follower.ts`); it is open when this returns. */
export async function follower({ connect, root }: Where): Promise<Follower> {
  const program = new URL('follower.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', 'tsx', program, connect, root], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const said: Said[] = [];
  const open = new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const words = JSON.parse(line) as Said;
      said.push(words);
      if (words.kind === 'open') resolve();
    });
    child.once('exit', (code) =>
      reject(new Error(`the follower ended with code ${code} before it was open`)),
    );
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  await open;
  return {
    process: child,
    said,
    last: () => said.at(-1),
    end: async () => {
      child.kill('SIGCONT');
      child.stdin.end();
      return (await exited)[0];
    },
  };
}
