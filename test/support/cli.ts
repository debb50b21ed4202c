import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

/** What a command came to. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Standard output, read as JSON. */
  json: () => unknown;
}

export interface CliOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** What comes on standard input. */
  input?: string | Buffer;
}

/** Starts `chodang` with these arguments as a process of its own; `ended` resolves when it has ended. */
export function startChodang(
  args: readonly string[],
  options: CliOptions = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    cwd: options.cwd,
    env: { ...process.env, CHODANG_ENV: 'test', ...options.env },
    stdio: 'pipe',
  });
  child.stdin.end(options.input ?? '');
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  const ended = output.then(([stdout, stderr, [code]]) => ({
    code: code as number | null,
    stdout,
    stderr,
    json: () => JSON.parse(stdout) as unknown,
  }));
  return { child, ended };
}

/** Runs `chodang` with these arguments to its end. */
export const chodang = (args: readonly string[], options: CliOptions = {}): Promise<Ended> =>
  startChodang(args, options).ended;
