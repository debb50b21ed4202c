import { connect } from 'node:net';
import { patienceMs } from './within.ts';

/** What a ZooKeeper server says of itself. */
export interface ZookeeperServer {
  version: string;
  /** `standalone`, `leader`, `follower` or `observer`. */
  mode: string;
}

/**
 * Asks a ZooKeeper server (`host:port`, perhaps with a chroot) how it is, by its four-letter word `srvr`; `refused`
 * if it lives, but its `4lw.commands.whitelist` lacks the word.
 *
 * Throws if it can't be reached, or says that it serves nobody (it has lost its majority).
 */
export async function askSrvr(server: string): Promise<ZookeeperServer | 'refused'> {
  const answer = await fourLetters(server, 'srvr');
  if (/not in the whitelist/i.test(answer)) return 'refused';
  const version = /Zookeeper version: ([^\s,]+)/i.exec(answer)?.[1];
  const mode = /^Mode: (\S+)/m.exec(answer)?.[1];
  if (version !== undefined && mode !== undefined)
    return { version: /^\d+(\.\d+)*/.exec(version)?.[0] ?? version, mode };
  throw new Error(answer.trim().split('\n')[0] || 'it hung up without an answer');
}

/** Sends one word and gives the whole answer, after which the server hangs up. */
function fourLetters(server: string, word: string): Promise<string> {
  const [, host = '', port] = /^\[?(.*?)\]?(?::(\d+))?(?:\/.*)?$/.exec(server) ?? [];
  const socket = connect({ host, port: Number(port ?? 2181) });
  const pieces: Buffer[] = [];
  return new Promise<string>((resolve, reject) => {
    socket.setTimeout(patienceMs, () => reject(new Error(`no answer within ${patienceMs / 1_000} s`)));
    socket.once('error', reject);
    socket.on('data', (piece) => pieces.push(piece));
    socket.once('close', () => resolve(Buffer.concat(pieces).toString('utf8')));
    socket.once('connect', () => socket.write(word));
  }).finally(() => socket.destroy());
}
