import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ask } from '../../src/stack/ask.ts';
import { type Place, Server, type ServerKind } from '../../src/stack/server.ts';
import { prepareZookeeper, zookeeperKind } from '../../src/stack/zookeeper.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { until } from '../support/wait.ts';

type Port = 'client' | 'quorum' | 'election';

/** One server of an ensemble. */
export type Member = Server<Port>;

/** Three ZooKeeper servers that make one ensemble. */
export interface Ensemble {
  readonly members: readonly Member[];
  /** What clients of all three connect with. */
  connect(): string;
  /** Starts those that don't run; returns when all three serve. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Ends one as a power cut would. */
  kill(member: Member): Promise<void>;
  /** The one that leads, once there is one. */
  leader(): Promise<Member>;
  /** The sessions that are connected, by server; none where it is down. */
  sessions(): Promise<string[][]>;
  /** Restarts a follower as one that can be made to lag. */
  loosen(follower: Member): Promise<Loose>;
}

/**
 * A follower whose wires to the others can be silenced: until it notices, after 30 s, it serves what it knows.
 *
 * It has local sessions. Otherwise a session begins with a transaction of the leader, and so with all that was written
 * before: then nobody can connect to a follower that lags.
 */
export interface Loose {
  silence(): void;
  /** Restarts it as it was before, unless it is already. */
  fasten(): Promise<void>;
}

/** Makes an ensemble that lives in `dir`; `start` it, and `stop` it in the end. */
export function ensembleIn(dir: string): Ensemble {
  const wires = new Map<Member, Map<Member, Proxy>>();

  /** What the `zoo.cfg` of `member` says of the ensemble; it needs the ports of all, so all have to be started at once. */
  function configurationOf(member: Member): string {
    const wired = wires.get(member);
    const lines = members.map((each, index) => {
      const quorum = wired?.get(each)?.address ?? `127.0.0.1:${each.port('quorum')}`;
      return `server.${index + 1}=${quorum}:${each.port('election')}`;
    });
    return ['initLimit=60', 'syncLimit=60', `localSessionsEnabled=${wired !== undefined}`, ...lines, ''].join(
      '\n',
    );
  }

  async function prepare(id: number, place: Place<Port>): Promise<void> {
    const configuration = () => configurationOf(members[id - 1]!);
    prepareZookeeper(place, await until(configuration, { what: 'all servers had chosen their ports' }));
    writeFileSync(join(place.data, 'myid'), `${id}\n`);
  }

  const members: Member[] = [1, 2, 3].map((id) => {
    const kind: ServerKind<Port> = {
      ...zookeeperKind,
      ports: ['client', 'quorum', 'election'],
      prepare: (place) => prepare(id, place),
      answers: async ({ ports }) => /^(leader|follower)$/u.test(await askRole(ports.client)),
    };
    return new Server(kind, join(dir, `${id}`));
  });
  const all = <T>(act: (member: Member) => Promise<T>) => Promise.all(members.map(act));
  const leading = async () => members[(await all(roleOf)).indexOf('leader')];

  return {
    members,
    connect: () => members.map(({ url }) => url).join(','),
    start: async () => void (await all((member) => member.start())),
    stop: async () => void (await all((member) => member.stop())),
    kill: (member) => member.kill(),
    leader: () => until(leading, { timeoutMs: 60_000, what: 'there was a leader' }),
    sessions: () => all(sessionsOf),
    loosen: async (follower) => {
      const own = new Map<Member, Proxy>();
      for (const each of members) if (each !== follower) own.set(each, await proxyTo(each.port('quorum')));
      wires.set(follower, own);
      await restart(follower);
      return {
        silence: () => {
          for (const wire of own.values()) wire.silence();
        },
        fasten: async () => {
          if (!wires.delete(follower)) return;
          await Promise.all([...own.values()].map((wire) => wire.close()));
          await restart(follower);
        },
      };
    },
  };
}

async function restart(member: Member): Promise<void> {
  await member.stop();
  await member.start();
}

/** `leader` or `follower`; empty while it doesn't serve. */
async function askRole(clientPort: number): Promise<string> {
  return /^Mode: (\w+)$/mu.exec((await ask(clientPort, 'srvr')).toString())?.[1] ?? '';
}

/** Likewise, and `down` if it can't be asked. */
async function roleOf(member: Member): Promise<string> {
  return member.pid === undefined ? 'down' : askRole(member.port()).catch(() => 'down');
}

async function sessionsOf(member: Member): Promise<string[]> {
  if (member.pid === undefined) return [];
  // Not `ask`: the answer comes in several packets.
  const socket = connect(member.port(), '127.0.0.1', () => socket.write('cons'));
  return (await text(socket)).match(/(?<=sid=)\w+/gu) ?? [];
}
