import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { lock } from './lock.ts';
import { installMissing } from './packages.ts';
import { type StackId, stackDir } from './place.ts';
import { postgresKind } from './postgres.ts';
import { RabbitMQ } from './rabbitmq.ts';
import { Server } from './server.ts';
import { simulatorKind } from './simulator.ts';
import { zookeeperKind } from './zookeeper.ts';

/** Where the servers are; null where one is down. This is what `chodang stack status --json` prints. */
export interface StackStatus {
  postgres: { url: string | null };
  /** Where RabbitMQ's URL is a configured one, `managementUrl` is `CHODANG_RABBITMQ_MANAGEMENT_URL`, or null. */
  rabbitmq: { url: string | null; managementUrl: string | null };
  zookeeper: { connect: string | null; root: string };
  tms: { url: string | null };
}

/** Which stack, and the environment in which configured URLs are looked for (default: `process.env`). */
export interface StackOptions extends StackId {
  env?: NodeJS.ProcessEnv;
}

/** The servers of one stack, whether they run or not: handles to kill, pause and restart them. */
export interface StackServers {
  postgres: Server<'postgres'>;
  rabbitmq: RabbitMQ;
  zookeeper: Server<'client'>;
  tms: Server<'http'>;
}

const variables = {
  postgres: 'CHODANG_POSTGRES_URL',
  rabbitmq: 'CHODANG_RABBITMQ_URL',
  zookeeper: 'CHODANG_ZOOKEEPER',
  tms: 'CHODANG_TMS_URL',
} as const;
const names = Object.keys(variables) as (keyof typeof variables)[];

/**
 * Starts every server of the stack that has no URL in the environment and isn't up yet, and says where they are.
 *
 * What is up is left as it is, so a second call is quick; what crashed is started with its data. Debian
 * packages that are missing are installed. Two calls at once wait for each other. `log` gets a line for
 * each thing that takes time. Throws one error that names every server that could not be started.
 */
export async function stackUp(
  options: StackOptions & { log?: (line: string) => void } = {},
): Promise<StackStatus> {
  const { env = process.env, log = () => {} } = options;
  const release = await lock(join(stackDir(options), 'lock'), 'alone');
  try {
    const servers = stackServers(options);
    const ours = names.filter((name) => !configured(env, name));
    await installMissing(ours, log);
    const results = await Promise.allSettled(
      ours.map(async (name) => {
        const server = servers[name];
        if (await server.isUp()) return;
        log(`starting ${server.kind.name}`);
        await server.start();
      }),
    );
    const problems = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as Error] : [],
    );
    if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n\n'));
    return await stackStatus(options);
  } finally {
    await release();
  }
}

/** Stops every server of the stack and leaves no process of it. Its data stays, unless `wipe` says otherwise. */
export async function stackDown(options: StackId & { wipe?: boolean | undefined } = {}): Promise<void> {
  const release = await lock(join(stackDir(options), 'lock'), 'alone');
  try {
    const servers = Object.values(stackServers(options));
    await Promise.all(servers.map((server) => server.stop()));
    if (options.wipe) for (const { dir } of servers) rmSync(dir, { recursive: true, force: true });
  } finally {
    await release();
  }
}

/** Says where the servers are, having asked each of ours whether it works; those with a URL in the environment aren't asked. */
export async function stackStatus(options: StackOptions = {}): Promise<StackStatus> {
  const servers = stackServers(options);
  const up = await Promise.all(names.map((name) => servers[name].isUp()));
  return statusOf(options, (name) => up[names.indexOf(name)] === true);
}

/** Says at once where the servers are, as far as their processes run; for commands that use the stack. */
export function readStack(options: StackOptions = {}): StackStatus {
  const servers = stackServers(options);
  return statusOf(options, (name) => servers[name].pid !== undefined);
}

/** Gives the handles of a stack's servers, which other processes may have started. */
export function stackServers(id: StackId = {}): StackServers {
  const dir = stackDir(id);
  return {
    postgres: new Server(postgresKind, join(dir, 'postgres')),
    rabbitmq: new RabbitMQ(join(dir, 'rabbitmq')),
    zookeeper: new Server(zookeeperKind, join(dir, 'zookeeper')),
    tms: new Server(simulatorKind, join(dir, 'simulator')),
  };
}

function statusOf(options: StackOptions, isUp: (name: keyof typeof variables) => boolean): StackStatus {
  const { env = process.env } = options;
  const servers = stackServers(options);
  const url = (name: keyof typeof variables) =>
    configured(env, name) ?? (isUp(name) ? servers[name].url : null);
  return {
    postgres: { url: url('postgres') },
    rabbitmq: {
      url: url('rabbitmq'),
      managementUrl: configured(env, 'rabbitmq')
        ? env['CHODANG_RABBITMQ_MANAGEMENT_URL'] || null
        : isUp('rabbitmq')
          ? servers.rabbitmq.managementUrl
          : null,
    },
    zookeeper: { connect: url('zookeeper'), root: env['CHODANG_ZOOKEEPER_ROOT'] || '/chodang' },
    tms: { url: url('tms') },
  };
}

function configured(env: NodeJS.ProcessEnv, name: keyof typeof variables): string | undefined {
  return env[variables[name]] || undefined;
}
