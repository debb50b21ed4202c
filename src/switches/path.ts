import type { Connection } from './connection.ts';

/** Tells where the znodes of the switches are; throws if `root` is no absolute path. */
export const switchesPath = (root: string): string => folderPath(root, 'switches');

/** Tells where the znodes of a folder are; throws if `root` is no absolute path. */
export function folderPath(root: string, folder: string): string {
  const clean = root.replace(/\/+$/, '');
  if (!/^(\/[^/]+)*$/.test(clean)) {
    throw new Error(
      `"${root}" can't be the root in ZooKeeper; expected an absolute path, such as "/chodang"`,
    );
  }
  return `${clean}/${folder}`;
}

/** Makes a znode and its parents where they are missing; rejects if the rights for it are missing too. */
export async function makePath(connection: Connection, path: string): Promise<void> {
  const names = path.split('/').slice(1);
  for (let depth = 1; depth <= names.length; depth += 1) {
    const level = `/${names.slice(0, depth).join('/')}`;
    // Asked first: `create` is refused where the rights are missing, even if the znode is there.
    if ((await connection.exists(level)) === null) await connection.create(level, Buffer.alloc(0));
  }
}
