import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { freshZookeeperRoot } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { flip, type Where, zkCli } from './opened.ts';

describe('chodang switch', () => {
  let where: Where;
  let path: string;

  beforeEach(async () => {
    where = await freshZookeeperRoot();
    path = `${where.root}/switches`;
  });

  it('sets a switch, making its znode, and shows it', async () => {
    const first = await run('set', 'delay-notice-path', ' 25% ', '--json');
    assert.deepEqual(first.json(), {
      name: 'delay-notice-path',
      raw: '25%',
      version: 0,
      created: true,
      changed: true,
      before: null,
    });
    assert.equal(
      (await run('set', 'delay-notice-path', 'actors=30 legacy=70')).stdout,
      'delay-notice-path: 25% → actors=30 legacy=70 (version 1)\n',
    );
    assert.match(await zkCli(where, 'get', `${path}/delay-notice-path`), /^actors=30 legacy=70$/mu);

    const { stdout } = await run('get', 'delay-notice-path');
    assert.match(
      stdout,
      /^delay-notice-path: actors=30 legacy=70 → legacy 70 %, actors 30 % by sellerId \(version 1, 20.*Z\)\n$/u,
    );
  });

  it('refuses nonsense before it writes anything', async () => {
    const value = await run('set', 'delay-notice-path', '101%');
    assert.deepEqual([value.code, value.stdout], [1, '']);
    assert.match(value.stderr, /^error: "101%" is no percentage; expected a number from 0 to 100/u);
    const name = await run('set', 'dealy', 'on');
    assert.equal(name.code, 1);
    assert.match(name.stderr, /"dealy" is not a registered switch; known are: delay-notice-path, other/u);
    await assert.rejects(zkCli(where, 'get', `${path}/delay-notice-path`));
  });

  it('lists all switches, with what is wrong with them', async () => {
    await flip(where, 'on');
    await zkCli(where, 'set', `${path}/delay-notice-path`, 'legacy=70');
    await zkCli(where, 'create', `${path}/dealy`, 'on');
    const { stdout, code } = await run('list');
    assert.equal(code, 0);
    assert.match(stdout, /^delay-notice-path: legacy=70 CAN'T BE USED: the shares add up to 70/mu);
    assert.match(stdout, /^other: not set: off \(the fallback\)$/mu);
    assert.match(stdout, /^dealy: no switch of this name is registered, no effect$/mu);

    const json = (await run('list', '--json')).json() as { switches: { name: string; version: number }[] };
    assert.deepEqual(
      json.switches.map(({ name, version }) => [name, version]),
      [
        ['delay-notice-path', 1],
        ['other', null],
      ],
    );
  });

  it('watches until it is interrupted', async () => {
    const watching = start(['watch', '--json']);
    let said = '';
    watching.stdout?.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    const kinds = () =>
      said
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line || '{}') as { kind?: string }).kind);
    await until(() => kinds().includes('connected'), { what: 'it was connected' });
    await flip(where, 'on');
    await zkCli(where, 'set', `${path}/delay-notice-path`, 'onn');
    await zkCli(where, 'delete', `${path}/delay-notice-path`);
    await until(() => kinds().length === 6, { what: 'all changes were shown' });
    assert.deepEqual(kinds(), ['absent', 'absent', 'connected', 'value', 'malformed', 'absent']);
    watching.kill('SIGINT');
    assert.deepEqual(await once(watching, 'exit'), [0, null]);
  });

  it('says so when ZooKeeper is away, or unknown', async () => {
    const away = '127.0.0.1:1';
    const commands = [['list'], ['set', 'other', 'on']];
    for (const { code, stderr } of await Promise.all(
      commands.map((each) => run(...each, '--zookeeper', away)),
    )) {
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^error: ZooKeeper can't be reached \(127\.0\.0\.1:1: connect ECONNREFUSED.*Is it running\?/u,
      );
    }
    const unknown = await finished(start(['list'], { CHODANG_ZOOKEEPER: undefined }));
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /give --zookeeper host:port or set CHODANG_ZOOKEEPER/u);
  });

  it('explains itself, with examples', async () => {
    for (const { code, stdout } of await Promise.all([run('--help'), run('set', '--help')])) {
      assert.equal(code, 0);
      assert.match(stdout, /\$ chodang switch set delay-notice-path 25%/u);
    }
  });

  function run(...args: string[]) {
    return finished(start(args));
  }

  function start(args: string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
    const program = new URL('cli.ts', import.meta.url).pathname;
    const env = {
      ...process.env,
      CHODANG_ZOOKEEPER: where.connect,
      CHODANG_ZOOKEEPER_ROOT: where.root,
      ...environment,
    };
    return spawn(process.execPath, ['--import', 'tsx', program, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
});

async function finished(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { stdout, stderr, code, json: () => JSON.parse(stdout) as unknown };
}
