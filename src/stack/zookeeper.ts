import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from './ask.ts';
import { makeFolder } from './place.ts';
import { systemPath } from './process.ts';
import { type Place, Server, type ServerKind } from './server.ts';
import { giveTo } from './user.ts';

type Port = 'client';

/** What Debian's packages `zookeeper` and `libzookeeper-java` bring. */
export const zookeeperJar = '/usr/share/java/zookeeper.jar';
const logger = '/usr/share/java/slf4j-simple.jar';
export const zkCli = '/usr/share/zookeeper/bin/zkCli.sh';

/** ZooKeeper as it runs here: standalone, a small heap, no admin server, sessions as short as 1 s. */
export const zookeeperKind: ServerKind<Port> = {
  name: 'ZooKeeper',
  user: 'zookeeper',
  ports: ['client'],
  stopSignal: 'SIGTERM',
  startMs: 60_000,

  prepare: async (place) => prepareZookeeper(place),

  command: ({ dir }) => ({
    file: 'java',
    args: [
      '-Xmx128m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-Djava.net.preferIPv4Stack=true',
      '-Dorg.slf4j.simpleLogger.showDateTime=true',
      '-cp',
      `${zookeeperJar}:${logger}`,
      'org.apache.zookeeper.server.quorum.QuorumPeerMain',
      join(dir, 'zoo.cfg'),
    ],
    env: { PATH: systemPath, LC_ALL: 'C.UTF-8' },
  }),

  answers: async ({ ports }) => (await ask(ports.client, 'srvr')).includes('Zookeeper version'),

  url: ({ ports }) => `127.0.0.1:${ports.client}`,
};

/** Makes the data folder of a ZooKeeper, and its `zoo.cfg` with what each one here has in it and `more` lines. */
export function prepareZookeeper({ dir, data, ports, user }: Place<Port>, more = ''): void {
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
${more}`;
  writeFileSync(join(dir, 'zoo.cfg'), configuration);
  giveTo(user, join(dir, 'zoo.cfg'));
}

/** Starts a ZooKeeper of one's own in `dir`, or the one that lives there; `stop` it in the end. */
export async function startZookeeper({ dir, port }: { dir: string; port?: number }): Promise<Server<Port>> {
  const server = new Server(zookeeperKind, dir, port);
  await server.start();
  return server;
}
