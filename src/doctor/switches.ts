import type { Config } from '../config/schema.ts';
import { type Connection, type Znode } from '../switches/connection.ts';
import { parseRule } from '../switches/parse.ts';
import { switchesPath } from '../switches/path.ts';
import { describeRule } from '../switches/rule.ts';
import { SwitchValueError } from '../switches/value-error.ts';
import { isRefused } from '../switches/zookeeper.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { rightsFindings } from './rights.ts';
import { counted } from './words.ts';

const unwatched = () => undefined;

/** Looks at the znodes of the switches: values, strangers among them, and who may do what. Makes none. */
export async function switchFindings(
  connection: Connection,
  { zookeeper, switches }: Pick<Config, 'zookeeper' | 'switches'>,
  environment: string,
): Promise<Finding[]> {
  const path = switchesPath(zookeeper.root);
  const children = await connection.children(path, unwatched);
  if (children === null)
    return [
      warn('switches', {
        found: `there is no ${path}: every switch has its fallback (${fallbacksOf(switches)})`,
        expected: 'it, once a process with part api has run; it is gone if ZooKeeper lost its data',
        remedy:
          'see whether CHODANG_ZOOKEEPER and CHODANG_ZOOKEEPER_ROOT are right; if the data is lost, set each ' +
          'switch again: "chodang switch history NAME" has what it was',
      }),
    ];
  const names = Object.keys(switches);
  const strangers = children.filter((name) => !names.includes(name));
  return [
    ...(await Promise.all(names.map((name) => switchFinding(connection, path, name, switches)))),
    ...strangers.map((name) =>
      warn(`switch ${name}`, {
        found: `there is a ${path}/${name}, but no switch of that name is registered: no effect`,
        expected: names.join(', '),
        remedy: `correct the name, or delete it in zkCli: delete ${path}/${name}`,
      }),
    ),
    ...(await rightsFindings(
      connection,
      [path, ...names.filter((name) => children.includes(name)).map((name) => `${path}/${name}`)],
      zookeeper.acl,
      environment,
    )),
    ok(
      'session',
      `as ${zookeeper.auth === '' ? 'nobody in particular' : `"${zookeeper.auth.split(':')[0]}"`}, ${counted(children.length, 'znode')} below ${path}`,
    ),
  ];
}

const fallbacksOf = (switches: Config['switches']) =>
  Object.entries(switches)
    .map(([name, { fallback }]) => `${name}: ${fallback}`)
    .join(', ');

async function switchFinding(
  connection: Connection,
  path: string,
  name: string,
  switches: Config['switches'],
): Promise<Finding> {
  const check = `switch ${name}`;
  const definition = switches[name];
  if (!definition) throw new Error(`${name} is not registered`);
  let znode: Znode | null;
  try {
    znode = await connection.read(`${path}/${name}`, unwatched);
  } catch (error) {
    if (!isRefused(error)) throw error;
    return wrong(check, {
      found: 'it may not be read: running processes keep what they last knew, others take the fallback',
      expected: 'the right to read (r)',
      remedy: 'set CHODANG_ZOOKEEPER_AUTH to the user:password of one who may, and restart the processes',
    });
  }
  if (znode === null) return ok(check, `not set: ${definition.fallback} (the fallback)`);
  const raw = znode.data.toString();
  const since = `version ${znode.version}, ${znode.changedAt.toISOString()}`;
  try {
    const means = describeRule(parseRule(definition, znode.data));
    return ok(check, `${raw}${raw === means ? '' : ` → ${means}`} (${since})`);
  } catch (error) {
    if (!(error instanceof SwitchValueError)) throw error;
    return wrong(check, {
      found: `${raw} can't be used: ${error.message} (${since}); processes keep the last good value`,
      expected: `on, off, ${definition.variants.join(', ')}, a share such as 25%, or JSON`,
      remedy: `"chodang switch set ${name} VALUE"; what it was: "chodang switch history ${name}"`,
    });
  }
}
