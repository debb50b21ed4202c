import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { User } from './user.ts';

/** Names one process for good: a pid alone may be given to another process, so its start time goes with it. */
export interface ProcessId {
  pid: number;
  /** Boot and clock ticks since that boot, as Linux counts them. */
  startedAt: string;
}

/** What to run, with nothing taken over from our own environment but `env`. */
export interface Command {
  file: string;
  args: string[];
  env: Record<string, string>;
}

/** Where Debian's programs lie; what else is on our own PATH is not for other users to run. */
export const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The variable every process of a server carries, so that none of them is ever lost or mistaken. */
export const marker = 'CHODANG_SERVER_DIR';

/**
 * Starts a process that outlives us, as `user`, in its folder `dir`, its output added to the file `log`.
 *
 * Throws if the program can't be started at all; whether it then does its work is for the caller to watch.
 */
export async function launch(
  command: Command,
  options: { dir: string; log: string; user: User | undefined },
): Promise<ProcessId> {
  const output = openSync(options.log, 'a', 0o600);
  const child = spawn(command.file, command.args, {
    cwd: options.dir,
    env: { ...command.env, [marker]: options.dir },
    stdio: ['ignore', output, output],
    detached: true,
    ...(options.user && { uid: options.user.uid, gid: options.user.gid }),
  });
  closeSync(output);
  child.unref();
  if (child.pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    throw new Error(`Could not start ${command.file}: ${error.message}`, { cause: error });
  }
  return identify(child.pid) ?? { pid: child.pid, startedAt: 'ended at once' };
}

/** Names the process that has `pid` now; undefined if there is none, or only a dead one nobody has buried. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  // The first thread of a killed process may be dead while others still hold its ports.
  if (stat === undefined || (stat.state === 'Z' && stat.threads <= 1)) return undefined;
  return {
    pid,
    startedAt: `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${stat.ticks}`,
  };
}

/** Tells whether this very process still runs. */
export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.startedAt === id.startedAt;
}

/** Sends `signal` to this very process; does nothing if it is gone. */
export function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    // It may have ended between the two lines above.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until this process is gone, for at most `timeoutMs`; tells whether it is. */
export async function hasEnded(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(id)) {
    if (Date.now() > deadline) return false;
    await sleep(10);
  }
  return true;
}

/** Ends a process with `name`, and with SIGKILL if it has not gone within `timeoutMs`. */
export async function end(id: ProcessId, name: NodeJS.Signals, timeoutMs: number): Promise<void> {
  signal(id, name);
  signal(id, 'SIGCONT');
  if (await hasEnded(id, timeoutMs)) return;
  signal(id, 'SIGKILL');
  await hasEnded(id, 5_000);
}

/** Lists this process and all its descendants, the eldest first. */
export function familyOf(id: ProcessId): ProcessId[] {
  if (!isAlive(id)) return [];
  const parents = new Map(pids().map((pid) => [pid, readStat(pid)?.parent]));
  const family = [id.pid];
  for (const member of family) {
    for (const [pid, parent] of parents) if (parent === member) family.push(pid);
  }
  return family.map(identify).filter((member) => member !== undefined);
}

/** Lists every process that was launched in `dir`, and every process those started in turn. */
export function launchedIn(dir: string): ProcessId[] {
  const mark = `${marker}=${dir}`;
  return pids()
    .filter((pid) => read(`/proc/${pid}/environ`)?.split('\0').includes(mark))
    .map(identify)
    .filter((id) => id !== undefined);
}

/** Tells whether this very process, and not some other, listens on the TCP port. */
export function listensOn(id: ProcessId, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (read(table) ?? '').split('\n')) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && local?.endsWith(suffix)) sockets.add(`socket:[${inode}]`);
    }
  }
  if (sockets.size === 0 || !isAlive(id)) return false;
  const folder = `/proc/${id.pid}/fd`;
  return gone(() => readdirSync(folder), []).some((fd) =>
    sockets.has(gone(() => readlinkSync(`${folder}/${fd}`), '')),
  );
}

function pids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function readStat(
  pid: number,
): { state: string; parent: number; threads: number; ticks: string } | undefined {
  // The name in parentheses may itself hold blanks and parentheses.
  const fields = read(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ');
  if (fields === undefined) return undefined;
  return {
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    threads: Number(fields[17]),
    ticks: fields[19] ?? '',
  };
}

function read(file: string): string | undefined {
  return gone(() => readFileSync(file, 'utf8'), undefined);
}

/** Reads something of a process that may end, or turn out to be somebody else's, while we look. */
function gone<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return otherwise;
    throw error;
  }
}
