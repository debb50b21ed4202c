import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from './ask.ts';
import { makeFolder } from './place.ts';
import { Server, type ServerKind } from './server.ts';
import { giveTo } from './user.ts';

type Port = 'client';

/** What Debian's packages `zookeeper` and `libzookeeper-java` bring. */
export const zookeeperJar = '/usr/share/java/zookeeper.jar';
export const zkCli = '/usr/share/zookeeper/bin/zkCli.sh';

/** ZooKeeper as it runs here: standalone, a small heap, no admin server, sessions as short as 1 s. */
export const zookeeperKind: ServerKind<Port> = {
  name: 'ZooKeeper',
  user: 'zookeeper',
  ports: ['client'],
  stopSignal: 'SIGTERM',
  startMs: 60_000,

  async prepare({ dir, data, ports, user }) {
    makeFolder(data, 0o700);
    giveTo(user, data);
    const configuration = `dataDir=${data}
clientPortAddress=127.0.0.1
clientPort=${ports.client}
tickTime=500
maxSessionTimeout=60000
maxClientCnxns=0
admin.enableServer=false
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
preAllocSize=4096
4lw.commands.whitelist=srvr,stat,cons,mntr
`;
    for (const [file, text] of Object.entries({ 'zoo.cfg': configuration, 'log4j.properties': log4j })) {
      writeFileSync(join(dir, file), text);
      giveTo(user, join(dir, file));
    }
  },

  command: ({ dir }) => ({
    file: 'java',
    args: [
      '-Xmx128m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-Djava.net.preferIPv4Stack=true',
      '-cp',
      `${dir}:${zookeeperJar}`,
      'org.apache.zookeeper.server.quorum.QuorumPeerMain',
      join(dir, 'zoo.cfg'),
    ],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
  }),

  answers: async ({ ports }) => (await ask(ports.client, 'srvr')).includes('Zookeeper version'),

  url: ({ ports }) => `127.0.0.1:${ports.client}`,
};

/** Starts a ZooKeeper of one's own in `dir`, or the one that lives there; `stop` it in the end. */
export async function startZookeeper({ dir, port }: { dir: string; port?: number }): Promise<Server<Port>> {
  const server = new Server(zookeeperKind, dir, port);
  await server.start();
  return server;
}

const log4j = `log4j.rootLogger=INFO, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} %m%n
`;
