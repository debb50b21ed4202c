import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from './ask.ts';
import { makeFolder } from './place.ts';
import { marker, systemPath } from './process.ts';
import { type Place, Server, type ServerKind } from './server.ts';
import { giveTo } from './user.ts';

type Port = 'postgres';
const database = 'chodang';

const settings = {
  listen_addresses: '127.0.0.1',
  // A socket's path may have 107 bytes at most, and a clone may lie deeper than that.
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  // After a checkpoint each page that is changed goes into the log as a whole: a burst writes a fifth less there.
  wal_compression: 'lz4',
  fsync: 'on',
  synchronous_commit: 'on',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/** Postgres as it runs here: scram over loopback TCP, durable, with the database `chodang`. */
export const postgresKind: ServerKind<Port> = {
  name: 'Postgres',
  user: 'postgres',
  ports: ['postgres'],
  stopSignal: 'SIGINT', // "fast": disconnects clients, then shuts down cleanly
  startMs: 60_000,

  async prepare(place) {
    if (!existsSync(join(place.data, 'PG_VERSION'))) await makeData(place);
    // Checked already: nothing of this server runs. But another process of this user may have got the old
    // pid by now, and Postgres would take that for itself.
    rmSync(join(place.data, 'postmaster.pid'), { force: true });
  },

  command: (place) => ({
    file: join(binaries(place.data), 'postgres'),
    args: [
      '-D',
      place.data,
      '-p',
      String(place.ports.postgres),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    env: environment,
  }),

  async answers(place) {
    const status = readFileSync(join(place.data, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim();
    // SSLRequest, https://www.postgresql.org/docs/15/protocol-message-formats.html: one byte comes back.
    const answer = await ask(place.ports.postgres, Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47));
    return status === 'ready' && (answer[0] === 0x4e || answer[0] === 0x53);
  },

  url: ({ password, ports }) => `postgres://chodang:${password}@127.0.0.1:${ports.postgres}/${database}`,
};

/** Starts a Postgres of one's own in `dir`, or the one that lives there; `stop` it in the end. */
export async function startPostgres({ dir, port }: { dir: string; port?: number }): Promise<Server<Port>> {
  const server = new Server(postgresKind, dir, port);
  await server.start();
  return server;
}

const environment = { PATH: systemPath, LC_ALL: 'C.UTF-8' };

/** Makes the data beside its place and moves it there when it is complete: a killed start leaves no half of it. */
async function makeData({ data, dir, user }: Place<Port>): Promise<void> {
  const half = `${data}.new`;
  rmSync(half, { recursive: true, force: true });
  rmSync(data, { recursive: true, force: true });
  makeFolder(half, 0o700);
  giveTo(user, half);
  const bin = binaries();
  const run = (file: string, args: string[], input = '') =>
    new Promise<void>((resolve, reject) => {
      const options = {
        cwd: dir,
        env: { ...environment, [marker]: dir },
        ...(user && { uid: user.uid, gid: user.gid }),
      };
      const child = execFile(join(bin, file), args, options, (error, stdout, stderr) =>
        error
          ? reject(new Error(`${file} could not make ${half}:\n${stdout}${stderr}`, { cause: error }))
          : resolve(),
      );
      child.stdin?.end(input);
    });
  await run('initdb', [
    '-D',
    half,
    '--username=chodang',
    `--pwfile=${join(dir, 'password')}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
  ]);
  await run('postgres', ['--single', '-D', half, 'postgres'], `create database ${database}\n`);
  renameSync(half, data);
}

/** Finds the programs: of the version the data was made with, else of the newest installed. */
function binaries(data?: string): string {
  const versions = installedVersions();
  const made = data && Number(readFileSync(join(data, 'PG_VERSION'), 'utf8'));
  const version = made || versions[0];
  if (version === undefined) throw new Error('Postgres is not installed');
  if (!versions.includes(version)) {
    throw new Error(
      `${data} was made by Postgres ${version}, which is no longer installed (there: ${versions.join(', ')}). ` +
        `Install it, or remove that folder to start anew`,
    );
  }
  return `/usr/lib/postgresql/${version}/bin`;
}

/** Lists the major versions of Postgres on this machine, the newest first. */
export function installedVersions(): number[] {
  const home = '/usr/lib/postgresql';
  if (!existsSync(home)) return [];
  const versions = readdirSync(home).filter((version) => existsSync(`${home}/${version}/bin/initdb`));
  return versions.map(Number).toSorted((a, b) => b - a);
}
