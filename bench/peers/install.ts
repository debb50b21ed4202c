import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('.', import.meta.url));

/** The Node that the peers run on: two of them refuse an older one. */
export const node = `${directory}node_modules/.bin/node`;

/** The options of Node with which Chodang starts itself; the peers get the same. */
export const nodeOptions: string[] = [
  ...(readFileSync(`${directory}../../src/main.ts`, 'utf8').split('\n')[0] ?? '').matchAll(/--\S+/g),
].map(([option]) => option);

/**
 * Installs the peers as bench/peers/package-lock.json has them, unless that is done; returns the versions.
 *
 * A package of its own: nobody else is to get them with Chodang.
 */
export function installPeers(say: (line: string) => void): Record<string, string> {
  const { dependencies } = read('package.json') as { dependencies: Record<string, string> };
  const isThere = ([name, version]: [string, string]) =>
    existsSync(`${directory}node_modules/${name}/package.json`) &&
    (read(`node_modules/${name}/package.json`) as { version: string }).version === version;
  if (!Object.entries(dependencies).every(isThere) || !existsSync(node)) {
    say('installing the peers (npm ci in bench/peers)');
    execFileSync('npm', ['ci', '--loglevel=error', '--no-audit', '--no-fund'], {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  return dependencies;
}

const read = (file: string): unknown => JSON.parse(readFileSync(`${directory}${file}`, 'utf8'));
