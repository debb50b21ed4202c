import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';

/** An unprivileged user of this machine. */
export interface User {
  uid: number;
  gid: number;
}

/**
 * Finds the user a server runs as: `name`, the one its package made, else `nobody`.
 *
 * Undefined unless we are root: then it runs as ourselves.
 */
export function serverUser(name: string): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const user = lookUp(name) ?? lookUp('nobody');
  if (user === undefined)
    throw new Error(`Neither the user ${name} nor nobody exists, and a server must not run as root`);
  return user;
}

/** Gives a file or folder to `user`, if there is one. */
export function giveTo(user: User | undefined, path: string): void {
  if (user) chownSync(path, user.uid, user.gid);
}

const known = new Map<string, User>();

function lookUp(name: string): User | undefined {
  const user = known.get(name) ?? ask(name);
  // One that is missing may be made later, when its package is installed.
  if (user) known.set(name, user);
  return user;
}

function ask(name: string): User | undefined {
  try {
    const [, , uid, gid] = execFileSync('getent', ['passwd', name], { encoding: 'utf8' }).split(':');
    return { uid: Number(uid), gid: Number(gid) };
  } catch (error) {
    // getent ends with 2 where there is no such user.
    if ((error as { status?: number }).status === 2) return undefined;
    throw error;
  }
}
