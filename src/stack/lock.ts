import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** Gives a lock back. */
export type Release = () => Promise<void>;

/**
 * Takes a lock on `file` (made if missing, never to be deleted), and waits for it as long as it takes.
 *
 * The kernel holds it through a small `flock(1)` process that ends with us however we end, so no lock is
 * ever left behind. Many may share it, or one has it alone.
 */
export async function lock(file: string, how: 'shared' | 'alone'): Promise<Release> {
  const release = await take(file, how === 'shared' ? ['-s'] : ['-x']);
  if (release === undefined)
    throw new Error(`Could not lock ${file}: is its folder writable, and flock (util-linux) there?`);
  return release;
}

/** Takes the lock alone if nobody has it now; undefined if somebody has. */
export async function tryLock(file: string): Promise<Release | undefined> {
  return take(file, ['-x', '-n']);
}

async function take(file: string, options: string[]): Promise<Release | undefined> {
  // Of its own session: a Ctrl-C in the terminal is for us to handle, with the lock still ours.
  const holder = spawn('flock', [...options, file, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const ended = new Promise<undefined>((resolve) => {
    holder.once('close', () => resolve(undefined));
    holder.once('error', () => resolve(undefined));
  });
  const held = new Promise<true>((resolve) => holder.stdout.once('data', () => resolve(true)));
  if ((await Promise.race([held, ended])) === undefined) return undefined;
  const handles = [holder, holder.stdin as Socket, holder.stdout as Socket];
  // A lock is no reason for a process to go on.
  for (const handle of handles) handle.unref();
  return async () => {
    // Giving it back is one: its end is only told when its output has ended as well.
    for (const handle of handles) handle.ref();
    holder.stdin.end();
    await ended;
  };
}
