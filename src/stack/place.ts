import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Says which stack is meant. */
export interface StackId {
  /** Lower-case letters, digits and `-`; default `local`. The tests use `test`. */
  name?: string;
  /** The clone it belongs to; default: the one this file lies in. */
  root?: string;
}

/** The clone this file lies in, run from `src/` or from `dist/`. */
export const cloneRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/**
 * Finds, and makes, the folder of a stack: `.chodang/<name>` of the clone.
 *
 * As root it is a folder of `/var/tmp` named after the clone: its servers run as unprivileged users, who
 * can't enter a clone that lies under a 0700 folder such as `/root`.
 */
export function stackDir({ name = 'local', root = cloneRoot }: StackId): string {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    throw new Error(`A stack's name has lower-case letters, digits and "-", at most 40, and not "${name}"`);
  }
  const clone = realpathSync(root);
  const asRoot = process.getuid?.() === 0;
  const hash = createHash('sha256').update(clone).digest('hex').slice(0, 12);
  const parent = asRoot
    ? `/var/tmp/chodang-${basename(clone).slice(0, 30)}-${hash}`
    : join(clone, '.chodang');
  makeFolder(parent);
  if (asRoot && lstatSync(parent).uid !== 0) {
    throw new Error(
      `${parent} belongs to another user; as root we expect it to be ours. Look at it and remove it`,
    );
  }
  const dir = join(parent, name);
  makeFolder(dir);
  return dir;
}

/** Makes a folder that everybody may enter (whatever the umask), unless it is there. Throws if a link is in its place. */
export function makeFolder(path: string, mode = 0o755): void {
  const mask = process.umask(0);
  try {
    mkdirSync(path, { recursive: true, mode });
  } finally {
    process.umask(mask);
  }
  if (!lstatSync(path).isDirectory()) throw new Error(`${path} should be a folder`);
}
