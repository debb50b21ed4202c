import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../src/stack/ask.ts';
import { installMissing } from '../../src/stack/packages.ts';
import { makeFolder, stackDir } from '../../src/stack/place.ts';
import { systemPath } from '../../src/stack/process.ts';
import { Server, type ServerKind } from '../../src/stack/server.ts';
import { giveTo } from '../../src/stack/user.ts';

/**
 * Redis as BullMQ's docs want it in production (https://docs.bullmq.io/guide/going-to-production): an append-only file
 * that is flushed to disk every second, and nothing evicted. No snapshots beside it.
 *
 * That is less than what Chodang gives: RabbitMQ confirms what is on disk, here a power cut loses the last second.
 */
const redisKind: ServerKind<'redis'> = {
  name: 'Redis',
  user: 'redis',
  ports: ['redis'],
  stopSignal: 'SIGTERM',
  startMs: 10_000,

  async prepare({ data, user }) {
    makeFolder(data, 0o700);
    giveTo(user, data);
  },

  command: ({ data, ports }) => ({
    file: 'redis-server',
    args: Object.entries({
      bind: '127.0.0.1',
      port: String(ports.redis),
      dir: data,
      appendonly: 'yes',
      appendfsync: 'everysec',
      'maxmemory-policy': 'noeviction',
      save: '',
    }).flatMap(([name, value]) => [`--${name}`, value]),
    env: { PATH: systemPath, LC_ALL: 'C.UTF-8' },
  }),

  answers: async ({ ports }) => (await ask(ports.redis, 'PING\r\n')).includes('+PONG'),

  url: ({ ports }) => `redis://127.0.0.1:${ports.redis}`,
};

/** Starts an empty Redis of the benchmark's own, installing Debian's where there is none; `stop` wipes it. */
export async function startRedis(
  say: (line: string) => void,
): Promise<{ port: number; stop(): Promise<void> }> {
  await installMissing(['redis'], say);
  const dir = join(stackDir({ name: 'bench' }), 'redis');
  const stop = async () => {
    await new Server(redisKind, dir).stop();
    rmSync(dir, { recursive: true });
  };
  await stop(); // one that a killed run left behind
  const server = new Server(redisKind, dir);
  await server.start();
  return { port: server.port(), stop };
}

/** The version of the Redis that is installed. */
export const redisVersion = (): string =>
  /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown';
