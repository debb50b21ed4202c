import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { answersHttp, ask } from './ask.ts';
import { makeFolder } from './place.ts';
import { marker, systemPath } from './process.ts';
import { type Place, Server, type ServerKind } from './server.ts';
import { giveTo } from './user.ts';

type Port = 'amqp' | 'management' | 'distribution' | 'epmd';

/** Where Debian's package keeps the programs. */
export const rabbitmqHome = '/usr/lib/rabbitmq/bin';

/** RabbitMQ as it runs here: a node, a cookie and an epmd of its own, management plugin on, loopback only. */
export const rabbitmqKind: ServerKind<Port> = {
  name: 'RabbitMQ',
  user: 'rabbitmq',
  ports: ['amqp', 'management', 'distribution', 'epmd'],
  stopSignal: 'SIGTERM',
  startMs: 120_000,

  async prepare({ dir, data, ports, password, user }) {
    makeFolder(data, 0o700);
    giveTo(user, data);
    const { amqp, management } = ports;
    const configuration = `listeners.tcp.1 = 127.0.0.1:${amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = ${management}
default_user = chodang
default_pass = ${password}
disk_free_limit.absolute = 100MB
log.console = true
log.file = false
`;
    writeFileSync(join(dir, 'rabbitmq.conf'), configuration, { mode: 0o600 });
    writeFileSync(join(dir, 'enabled_plugins'), '[rabbitmq_management].\n');
    writeFileSync(
      join(dir, 'rabbitmq-env.conf'),
      '# Kept empty: the settings of this machine are not for this node.\n',
    );
    for (const file of ['rabbitmq.conf', 'enabled_plugins', 'rabbitmq-env.conf'])
      giveTo(user, join(dir, file));
    const cookie = join(dir, '.erlang.cookie');
    rmSync(cookie, { force: true });
    writeFileSync(cookie, password, { mode: 0o400 });
    giveTo(user, cookie);
  },

  // epmd, which knows the node's port, would outlive the broker if the broker started it.
  companion: (place) => ({
    command: {
      file: 'epmd',
      args: ['-port', String(place.ports.epmd), '-address', '127.0.0.1'],
      env: environment(place),
    },
    port: place.ports.epmd,
  }),

  command: (place) => ({ file: join(rabbitmqHome, 'rabbitmq-server'), args: [], env: environment(place) }),

  async answers({ ports }) {
    // Protocol header of AMQP 0-9-1; a broker that is ready answers with the method frame (1) connection.start.
    const answer = await ask(ports.amqp, Buffer.from('AMQP\0\0\x09\x01', 'latin1'));
    return answer[0] === 1 && (await answersHttp(ports.management, '/api/overview'));
  },

  url: ({ password, ports }) => `amqp://chodang:${password}@127.0.0.1:${ports.amqp}`,
};

/** A RabbitMQ of this machine, with its management page and its `rabbitmqctl`. */
export class RabbitMQ extends Server<Port> {
  constructor(dir: string, port?: number) {
    super(rabbitmqKind, dir, port);
  }

  /** The management page and HTTP API, with user and password in it. */
  get managementUrl(): string {
    const { password, ports } = this.place;
    return `http://chodang:${password}@127.0.0.1:${ports.management}`;
  }

  /** Runs `rabbitmqctl` on this node and gives what it printed; throws with what it said if it fails. Takes a second or two. */
  async rabbitmqctl(...args: string[]): Promise<string> {
    // Without an epmd to ask it would start one, which nobody would ever end.
    if (this.pid === undefined) throw new Error('RabbitMQ is down: rabbitmqctl has nobody to talk to');
    const { place } = this;
    const { stdout } = await promisify(execFile)(join(rabbitmqHome, 'rabbitmqctl'), args, {
      cwd: place.dir,
      env: { ...environment(place), [marker]: place.dir },
      ...(place.user && { uid: place.user.uid, gid: place.user.gid }),
    });
    return stdout;
  }
}

/** Starts a RabbitMQ of one's own in `dir`, or the one that lives there; `stop` it in the end. */
export async function startRabbitmq({ dir, port }: { dir: string; port?: number }): Promise<RabbitMQ> {
  const server = new RabbitMQ(dir, port);
  await server.start();
  return server;
}

function environment({ dir, data, ports }: Place<Port>): Record<string, string> {
  const loopback = '-kernel inet_dist_use_interface {127,0,0,1}';
  return {
    PATH: systemPath,
    LC_ALL: 'C.UTF-8',
    HOME: dir, // .erlang.cookie lies here
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: 'chodang@localhost',
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${loopback} -start_epmd false`,
    RABBITMQ_CTL_ERL_ARGS: loopback,
    RABBITMQ_CONF_ENV_FILE: join(dir, 'rabbitmq-env.conf'),
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(dir, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: data,
    RABBITMQ_LOG_BASE: join(data, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_PID_FILE: join(data, 'pid'),
    // Makes the script become the broker instead of waiting beside it.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}
