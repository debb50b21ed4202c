import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { answersHttp } from './ask.ts';
import { makeFolder } from './place.ts';
import { systemPath } from './process.ts';
import { Server, type ServerKind } from './server.ts';

type Port = 'http';

const fromSource = import.meta.url.endsWith('.ts');
/** The program itself, as TypeScript or built, like this file. */
export const simulatorEntry = fileURLToPath(
  new URL(`../tms/simulator/main.${fromSource ? 'ts' : 'js'}`, import.meta.url),
);

/**
 * The simulator of the TMS gateway as it runs here: a process of its own.
 *
 * It is our own code and opens no files but its own, and the clone may lie where no other user can read:
 * so it runs as ourselves, also when that is root.
 */
export const simulatorKind: ServerKind<Port> = {
  name: 'TMS simulator',
  ports: ['http'],
  stopSignal: 'SIGTERM',
  startMs: 30_000,

  async prepare({ data }) {
    makeFolder(data, 0o700);
    if (!existsSync(simulatorEntry)) throw new Error(`${simulatorEntry} is missing: run "npm run build"`);
  },

  command: ({ data, ports }) => ({
    file: process.execPath,
    args: [
      ...(fromSource ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : []),
      simulatorEntry,
      '--port',
      String(ports.http),
      '--data',
      data,
    ],
    env: { PATH: systemPath, LC_ALL: 'C.UTF-8' },
  }),

  answers: ({ ports }) => answersHttp(ports.http, '/health'),

  url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
};

/** Starts a simulator of one's own in `dir`, or the one that lives there; `stop` it in the end. */
export async function startSimulator({ dir, port }: { dir: string; port?: number }): Promise<Server<Port>> {
  const server = new Server(simulatorKind, dir, port);
  await server.start();
  return server;
}
