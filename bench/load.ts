import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Load, Loaded } from './loader.ts';

const program = fileURLToPath(new URL('loader.ts', import.meta.url));

/** Posts notices, as `Load` says, from a process of its own, until each was accepted, or refused for good. */
export async function load(options: Load): Promise<Loaded> {
  const child = fork(program, { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the process that posts notices ended with ${String(code)}`);
  });
  child.send(options);
  const [loaded] = (await Promise.race([once(child, 'message'), ended])) as [Loaded];
  ended.catch(() => undefined);
  return loaded;
}
