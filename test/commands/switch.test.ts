import assert from 'node:assert/strict';
import { hostname, userInfo } from 'node:os';
import { CommanderError } from 'commander';
import { pino } from 'pino';
import { switchCommand } from '../../src/commands/switch/command.ts';
import type { SwitchSettings } from '../../src/commands/switch/place.ts';
import { loadConfig } from '../../src/config/load.ts';
import { sellersWithOpenOrders } from '../../src/store/orders.ts';
import { openStore } from '../../src/store/store.ts';
import { switchHistory } from '../../src/store/switchHistory.ts';
import { bucketOf } from '../../src/switches/bucket.ts';
import { writeSwitch } from '../../src/switches/write.ts';
import { chodang } from '../support/cli.ts';
import { migratedDatabase, storeOrders } from '../support/database.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld } from '../support/world.ts';
import { zkCli } from '../switches/opened.ts';

const name = 'delay-notice-path';

describe('chodang switch, with its history', function () {
  this.timeout(60_000);
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  let zookeeper: Awaited<ReturnType<typeof freshZookeeperRoot>>;
  let settings: SwitchSettings;
  let znode: string;

  before(async () => {
    database = await migratedDatabase();
  });
  beforeEach(async () => {
    await database.store.query('truncate audit, orders');
    zookeeper = await freshZookeeperRoot();
    znode = `${zookeeper.root}/switches/${name}`;
    settings = {
      ...zookeeper,
      registry: loadConfig({ env: {} }).switches,
      openRecords: (root) => ({
        history: switchHistory(database.store, root),
        contexts: async () => (await sellersWithOpenOrders(database.store)).map((sellerId) => ({ sellerId })),
        close: async () => undefined,
      }),
    };
  });
  after(() => database.drop());

  /** Runs it in this process: with one of its own, each would take a second. */
  async function run(...args: string[]) {
    let [stdout, stderr, code] = ['', '', 0];
    const command = switchCommand(async () => settings);
    for (const each of [command, ...command.commands])
      each.exitOverride().configureOutput({
        writeOut: (text) => {
          stdout += text;
        },
        writeErr: (text) => {
          stderr += text;
        },
      });
    await command.parseAsync(args, { from: 'user' }).catch((error: unknown) => {
      if (!(error instanceof CommanderError)) throw error;
      code = error.exitCode;
    });
    return { code, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
  }
  const set = async (...args: string[]) => {
    const ended = await run('set', name, ...args);
    assert.equal(ended.code, 0, ended.stderr);
    return ended;
  };
  const refused = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stdout], [1, ''], stderr);
    return stderr;
  };
  /** What tells a process of its own where all of this is. */
  const env = () => ({
    CHODANG_POSTGRES_URL: database.url,
    CHODANG_ZOOKEEPER: zookeeper.connect,
    CHODANG_ZOOKEEPER_ROOT: zookeeper.root,
  });
  /** Each line of the history without its time. */
  const history = async (...args: string[]) => {
    const { code, stdout, stderr } = await run('history', name, ...args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout
      .trimEnd()
      .replaceAll(/ 20\S+Z /gu, ' ')
      .split('\n');
  };

  it('tells who changed what, when and why', async () => {
    await set('25%', '--note', 'ramp after incident 12');
    await set('50%', '--by', 'bori', '--note', 'no complaints');
    const { stdout } = await chodang(['switch', 'set', name, 'on'], {
      env: { ...env(), CHODANG_OPERATOR: 'haneul' },
    });
    assert.equal(stdout, `${name}: 50% → on (version 2)\n`);
    const self = `${userInfo().username}@${hostname()}`;
    assert.deepEqual(await history(), [
      '   2   haneul  on',
      '   1   bori  50%  "no complaints"',
      `   0   ${self}  25%  "ramp after incident 12"`,
    ]);
    assert.deepEqual(await history('--limit', '1'), ['   2   haneul  on']);
    const { json } = await chodang(['switch', 'history', name, '--json'], { env: env() });
    const [newest] = json() as { raw: string; who: string; changedAt: string; mzxid: string }[];
    assert.deepEqual([newest?.raw, newest?.who], ['on', 'haneul']);
    assert.match(newest?.mzxid ?? '', /^\d+$/u);
    assert.ok(Date.now() - Date.parse(newest?.changedAt ?? '') < 60_000);
  });

  it('knows no author of what zkCli wrote, and shows a gap where nobody looked', async () => {
    await set('25%');
    for (const value of ['30%', '35%', 'off']) await zkCli(zookeeper, 'set', znode, value);
    assert.deepEqual((await history()).slice(0, 2), [
      '   3   (unknown)  off',
      '   …  versions 1 to 2: seen by nobody',
    ]);
    await zkCli(zookeeper, 'delete', znode);
    await zkCli(zookeeper, 'create', znode, '40%');
    await zkCli(zookeeper, 'set', znode, '40');
    const [malformed, gap] = await history();
    assert.match(malformed ?? '', /^ {3}1 {3}\(unknown\) {2}40 CAN'T BE USED: "40" lacks its percent sign/u);
    assert.equal(gap, '   …  version 0: seen by nobody; deleted and made again');
  });

  it('has what running processes saw, by themselves', async () => {
    const world = await aWorld();
    try {
      const place = { ...world.zookeeper, registry: settings.registry };
      await Promise.all([world.start({ parts: ['api'] }), world.start({ parts: ['api'] })]);
      await writeSwitch(place, name, '10%');
      await zkCli(world.zookeeper, 'set', `${world.zookeeper.root}/switches/${name}`, '20%');
      const rows = "select detail ->> 'raw', who from audit where action = 'switch' order by at";
      await until(async () => (await world.store.rows(rows)).length === 2, {
        what: 'both versions were kept',
      });
      assert.deepEqual(await world.store.rows(rows), [
        ['10%', null],
        ['20%', null],
      ]);
    } finally {
      await world.close();
    }
  });

  it('goes back to an earlier version', async () => {
    await set('25%');
    await set('legacy=70 actors=30');
    await set('on');
    const { stdout } = await set('--to', '1', '--note', 'too fast');
    assert.equal(stdout, `${name}: on → legacy=70 actors=30 (version 3)\n`);
    assert.equal((await history())[0]?.includes('"too fast"'), true);

    await zkCli(zookeeper, 'set', znode, 'off');
    await zkCli(zookeeper, 'set', znode, '1%');
    assert.match(
      await refused('set', name, '--to', '4'),
      /version 4 of delay-notice-path was never seen by anyone/u,
    );
    assert.match(
      await refused('set', name, '--to', '99'),
      /has no version 99 in its history; .*history delay-notice-path/u,
    );
    assert.match(await refused('set', name, 'on', '--to', '1'), /expected a value, such as 25%, or --to/u);
    assert.match(await refused('set', name), /expected a value, such as 25%, or --to/u);
    assert.match(await refused('set', name, '--to', 'three'), /expected the number of a version, such as 3/u);
  });

  it('keeps the note of the value where no other is given', async () => {
    const value = JSON.stringify({ variants: { actors: 100 }, note: 'all is well' });
    await set(value);
    await set('off', '--note', 'all was not well');
    assert.match((await history())[1] ?? '', / {2}"all is well"$/u);
  });

  it('writes only over the version that was looked at', async () => {
    await set('25%');
    await set('50%');
    const stderr = await refused('set', name, 'on', '--if-version', '0');
    assert.match(
      stderr,
      /somebody else has changed delay-notice-path: expected version 0, it has version 1, 50%/u,
    );
    assert.equal((await history()).length, 2);
    await set('on', '--if-version', '1');
  });

  it('says nothing was written where it has that value, and keeps nothing', async () => {
    await set('25%');
    assert.match((await set('25%')).stdout, /25% \(version 0\) already, nothing was written/u);
    assert.equal((await history()).length, 1);
  });

  it('shows first whom a change would concern, and writes nothing', async () => {
    const sellers = Array.from({ length: 40 }, (_, at) => `s-${at}`);
    await storeOrders(
      database.store,
      sellers.flatMap((sellerId, at) => [
        { sellerId, orderId: 'o-1', status: at < 30 ? ('open' as const) : ('shipped' as const) },
        { sellerId, orderId: 'o-2', status: 'canceled' as const },
      ]),
    );
    await set('20%');
    const moving = sellers.slice(0, 30).filter((sellerId) => {
      const bucket = bucketOf(name, sellerId);
      return bucket >= 2_000 && bucket < 4_000;
    });
    assert.ok(moving.length > 1 && moving.length < 20);
    const { stdout } = await set('40%', '--dry-run');
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      `${name}: 20% → 40% (legacy 60 %, actors 40 % by sellerId). Nothing was written.`,
      '20 % of all keys would change sides.',
      `${moving.length} of 30 sellers with open orders, from legacy to actors: ${moving.toSorted().join(', ')}`,
    ]);
    const effect = (await set('40%', '--dry-run', '--json')).json() as object;
    assert.deepEqual(effect, {
      name,
      raw: '40%',
      dryRun: true,
      before: { raw: '20%', version: 0 },
      sharePercent: 20,
      concerned: 30,
      moves: [{ from: 'legacy', to: 'actors', who: moving.toSorted() }],
    });
    assert.match(await refused('set', name, '160%', '--dry-run'), /"160%" is no percentage/u);
    const byNotice = JSON.stringify({ variants: { legacy: 50, actors: 50 }, by: 'noticeId' });
    assert.match(
      (await set(byNotice, '--dry-run')).stdout,
      /It would be split by another attribute: everyone may change sides\. It looks at noticeId, so nobody can tell now/u,
    );
    const oneNotice = {
      variants: { legacy: 80, actors: 20 },
      segments: [{ when: { noticeId: ['n'] }, variant: 'actors' }],
    };
    assert.match(
      (await set(JSON.stringify(oneNotice), '--dry-run')).stdout,
      /It looks at noticeId, so nobody/u,
    );
    await zkCli(zookeeper, 'set', znode, '20');
    const fromMalformed = await set('20%', '--dry-run');
    assert.match(fromMalformed.stdout, /nobody would change sides/u);
    assert.match(fromMalformed.stderr, /^warning: 20 can't be used; running processes keep 20%$/mu);
    await zkCli(zookeeper, 'set', znode, '20%');
    assert.match((await set('20%', '--dry-run')).stdout, /nobody would change sides/u);
    assert.match(await zkCli(zookeeper, 'get', znode), /^20%$/mu);
    assert.deepEqual((await history()).slice(0, 2), [
      '   2   (unknown)  20%',
      '   …  version 1: seen by nobody',
    ]);
  });

  it('keeps the history of each root apart', async () => {
    const two = `${zookeeper.root}/two`;
    await set('33%', '--by', 'anna');
    await set('66%', '--by', 'ben', '--root', two);
    assert.deepEqual(await history(), ['   0   anna  33%']);
    assert.deepEqual(await history('--root', two), ['   0   ben  66%']);
  });

  it('flips although Postgres is away, and says what could not be kept', async () => {
    const away = openStore({
      url: 'postgres://127.0.0.1:1/nowhere',
      poolSize: 1,
      connectTimeoutMs: 1_000,
      log: pino({ level: 'silent' }),
    });
    settings.openRecords = (root) => ({
      history: switchHistory(away, root),
      contexts: async () => (await sellersWithOpenOrders(away)).map((sellerId) => ({ sellerId })),
      close: async () => undefined,
    });
    const { stdout, stderr } = await set('off', '--note', 'Postgres burns');
    assert.equal(stdout, `${name}: off (version 0)\n`);
    assert.match(stderr, /^warning: the switch is set, but not who set it and why: /u);
    const dry = await set('on', '--dry-run');
    assert.match(dry.stdout, /Nothing was written\.\n100 % of all keys would change sides\.\n$/u);
    assert.match(dry.stderr, /^warning: whom it would concern is not known: /u);
    assert.match(await refused('history', name), /^error: Postgres can't be had/u);
    await away.close();
  });

  it('shows its history while ZooKeeper is away, with a warning', async () => {
    await set('25%');
    settings.connect = '127.0.0.1:1';
    const { code, stdout, stderr } = await run('history', name);
    assert.equal(code, 0);
    assert.match(stdout, / 25%\n$/u);
    assert.match(stderr, /^warning: the present version may be missing: ZooKeeper can't be reached/u);
  });

  it('refuses a switch that nobody registered, and attributes that nobody knows', async () => {
    assert.match(
      await refused('history', 'dealy'),
      /"dealy" is not a registered switch; known are: delay-notice-path/u,
    );
    const typo = JSON.stringify({ variants: { legacy: 50, actors: 50 }, by: 'sellerid' });
    assert.match(
      await refused('set', name, typo),
      /by names "sellerid"; expected one of sellerId, noticeId/u,
    );
  });
});
