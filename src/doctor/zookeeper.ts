import type { Config } from '../config/schema.ts';
import { type Connection } from '../switches/connection.ts';
import { serversOf } from '../switches/servers.ts';
import { connectTo, isRefused } from '../switches/zookeeper.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { askSrvr, type ZookeeperServer } from './srvr.ts';
import { switchFindings } from './switches.ts';
import { patienceMs, within } from './within.ts';
import { reasonOf } from './words.ts';

/** Looks at every ZooKeeper server, and at the switches and their rights. */
export async function zookeeperFindings(
  { zookeeper, switches }: Config,
  environment: string,
): Promise<Finding[]> {
  if (zookeeper.connect === '') return [];
  let servers: readonly string[];
  try {
    servers = serversOf(zookeeper.connect);
  } catch (error) {
    return [
      wrong('servers', { found: reasonOf(error), remedy: 'correct CHODANG_ZOOKEEPER: host:port,host:port' }),
    ];
  }
  const answers = await Promise.all(
    servers.map(async (server) => ({ server, answer: await answerOf(server) })),
  );
  const findings = answers.map(({ server, answer }) =>
    serverFinding(
      server,
      answer,
      answers.every(({ answer }) => answer instanceof Error),
    ),
  );
  // Those that answer first; one whose srvr is switched off may still take a session.
  const inOrder = answers.toSorted(
    (a, b) => Number(a.answer instanceof Error) - Number(b.answer instanceof Error),
  );
  const problems: string[] = [];
  for (const { server, answer } of inOrder) {
    if (answer instanceof Error) continue;
    try {
      const { auth } = zookeeper;
      const connection = await connectTo(server, 2 * patienceMs, { auth, connectWithinMs: patienceMs });
      return [...findings, ...(await over(connection, { zookeeper, switches }, environment))];
    } catch (error) {
      problems.push(reasonOf(error));
    }
  }
  if (problems.length > 0)
    findings.push(
      wrong('session', {
        found: problems.join('; '),
        expected: 'a session',
        remedy: `look at the server's log; processes keep the last known switches meanwhile`,
      }),
    );
  return findings;
}

async function answerOf(server: string): Promise<ZookeeperServer | 'refused' | Error> {
  try {
    return await askSrvr(server);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function serverFinding(
  server: string,
  answer: ZookeeperServer | 'refused' | Error,
  noneAnswers: boolean,
): Finding {
  const check = `server ${server}`;
  if (answer === 'refused')
    return ok(check, 'it answers; its version is not told (srvr is not in 4lw.commands.whitelist)');
  if (!(answer instanceof Error)) return ok(check, `ZooKeeper ${answer.version}, ${answer.mode}`);
  const found = reasonOf(answer);
  if (noneAnswers)
    return wrong(check, {
      found,
      expected: 'an answer',
      remedy:
        'bring ZooKeeper back, or correct CHODANG_ZOOKEEPER ("chodang stack up" starts one on this machine). Running ' +
        'processes keep the last known switches; do not restart them where there is no snapshot (zookeeper.snapshotDir)',
    });
  return warn(check, {
    found,
    expected: 'an answer, as from the other servers',
    remedy: 'bring this server back: the others serve meanwhile, as long as they are the majority',
  });
}

async function over(
  connection: Connection,
  config: Pick<Config, 'zookeeper' | 'switches'>,
  environment: string,
): Promise<Finding[]> {
  try {
    return await within(switchFindings(connection, config, environment));
  } catch (error) {
    const { auth, root } = config.zookeeper;
    const who = auth === '' ? 'somebody without a name' : `"${auth.split(':')[0]}"`;
    return [
      isRefused(error)
        ? wrong('access', {
            found: `ZooKeeper does not let ${who} read below ${root}`,
            expected: 'the right to read (r)',
            remedy:
              'set CHODANG_ZOOKEEPER_AUTH to the user:password of one who may, and restart the processes',
          })
        : wrong('switches', {
            found: `could not be looked at: ${reasonOf(error)}`,
            remedy: `run this again; if it stays so, look at the log of ${connection.server}`,
          }),
    ];
  } finally {
    await connection.close();
  }
}
