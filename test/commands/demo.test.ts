import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import type { Addresses } from '../../src/demo/addresses.ts';
import { planFor } from '../../src/demo/plan.ts';
import type { Outcome } from '../../src/demo/summary.ts';
import { generateOrders } from '../../src/import/generated.ts';
import { needRealOrders, realOrders } from '../import/files.ts';
import { chodang, type Ended, startChodang } from '../support/cli.ts';
import { migratedDatabase } from '../support/database.ts';
import { freshVhost, freshZookeeperRoot, simulatorUrl, temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { inDays } from '../support/world.ts';
import { zkCli } from '../switches/opened.ts';
import { accountAt } from '../tms/startSimulator.ts';

type Told = { outcome: Outcome; addresses: Addresses };

describe('chodang demo', function () {
  this.timeout(120_000);
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  let vhost: Awaited<ReturnType<typeof freshVhost>>;
  let zookeeper: Awaited<ReturnType<typeof freshZookeeperRoot>>;
  let simulator: ReturnType<typeof accountAt>;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    database = await migratedDatabase();
    vhost = await freshVhost();
    zookeeper = await freshZookeeperRoot();
    const tmsUrl = `${simulatorUrl()}/accounts/${uuidv7()}`;
    simulator = accountAt(tmsUrl);
    env = {
      CHODANG_POSTGRES_URL: database.url,
      CHODANG_RABBITMQ_URL: vhost.url,
      CHODANG_ZOOKEEPER: zookeeper.connect,
      CHODANG_ZOOKEEPER_ROOT: zookeeper.root,
      CHODANG_TMS_URL: tmsUrl,
    };
  });
  afterEach(async () => {
    await vhost.drop();
    await database.drop();
  });

  const run = (...args: string[]) => chodang(['demo', '--exit', '--json', ...args], { env });
  const outcomeOf = (ended: Ended) => {
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    return (ended.json() as Told).outcome;
  };

  it('settles every order as the rules say and tells every customer once, twice in a row', async () => {
    const first = outcomeOf(await run('--size', '3000'));
    assert.deepEqual(first.orders, { from: 'generated', loaded: 3_000, sellers: 50, rejectedRows: 0 });
    assert.deepEqual([first.notices, first.paths, first.accepted], [1, { actors: 1 }, 900]);
    assert.ok(first.counts.notified > 800);
    assert.ok(first.counts.undeliverable > 0);
    assert.equal(Object.keys(first.rejected).length, 8);
    assert.equal(first.notifications, first.counts.notified);
    assert.deepEqual(await exactlyOnce(), first.counts.notified);

    const second = outcomeOf(await run('--size', '3000'));
    const { seconds: _1, acceptSeconds: _2, ordersPerSecond: _3, ...numbers } = second;
    for (const [name, value] of Object.entries(numbers))
      assert.deepEqual(value, first[name as keyof Outcome], name);
    assert.deepEqual(await exactlyOnce(), 2 * first.counts.notified);
  });

  it('comes to the known numbers on the real orders', async function () {
    needRealOrders(this);
    const outcome = outcomeOf(await run('--orders', realOrders));
    assert.deepEqual(outcome.orders, { from: realOrders, loaded: 35_063, sellers: 2_533, rejectedRows: 0 });
    assert.deepEqual([outcome.notices, outcome.postedBy, outcome.accepted], [1_646, 845, 3_088]);
    assert.deepEqual(outcome.rejected, { DATE_TOO_FAR: 22, ORDER_CANCELED: 10 });
    assert.deepEqual(outcome.counts, {
      rejected: 32,
      delayed: 0,
      notified: 3_056,
      undeliverable: 0,
      unconfirmed: 0,
      failed: 0,
    });
    assert.equal(await exactlyOnce(), 3_056);
    assert.deepEqual(
      await database.store.rows('select status, count(*)::int from orders group by 1 order by 1'),
      [
        ['canceled', 396],
        ['open', 3_701],
        ['shipped', 30_966],
      ],
    );
  });

  it('says so when an order does not become what the rules say', async () => {
    await simulator.faults({ recipients: { [someCustomer(3_000)]: 'permanent' } });
    const ended = await run('--size', '3000');
    assert.equal(ended.code, 1);
    const { outcome } = ended.json() as Told;
    assert.deepEqual([outcome.asExpected, outcome.problemCount], [false, 2]);
    assert.match(
      outcome.problems[0] ?? '',
      /^order \S+ of demo-01: expected notified, became undeliverable$/,
    );
    assert.match(outcome.problems[1] ?? '', /: expected 1 notifications, the simulator has 0$/);
  });

  it('keeps running until Ctrl-C, with addresses and commands that work', async () => {
    const { child, ended } = startChodang(['demo', '--size', '1000', '--json'], { env });
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    const { addresses, outcome } = JSON.parse(String(line)) as Told;
    assert.deepEqual(outcome.problems, []);
    assert.equal((await fetch(addresses.openapi)).status, 200);
    assert.match(await (await fetch(addresses.metrics)).text(), /^# HELP /);
    assert.match(await (await fetch(addresses.customer ?? '')).text(), /초당옥수수|corn/);
    const [, key = '', body = ''] = /Bearer (\S+)'.*-d '(.*)'$/.exec(addresses.curl ?? '') ?? [];
    const answer = await fetch(`${addresses.api}/v1/delay-notices`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body,
    });
    assert.equal(answer.status, 202);
    assert.match(addresses.zkCli, new RegExp(`set ${zookeeper.root}/switches/delay-notice-path off$`));
    await zkCli(zookeeper, 'set', `${zookeeper.root}/switches/delay-notice-path`, 'off');

    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 0, stdout + stderr);
  });

  it('ends with 130 after Ctrl-C in the middle, and the next run finishes what it left', async () => {
    const { child, ended } = startChodang(['demo', '--exit', '--size', '20000'], { env });
    await until(async () => (await database.store.rows('select 1 from ledger limit 1')).length > 0, {
      what: 'the first orders settled',
      timeoutMs: 60_000,
    });
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    assert.deepEqual([code, stdout], [130, '']);
    assert.match(stderr, /Stopped before the end/);
    const next = outcomeOf(await run('--size', '20000'));
    assert.equal(next.accepted, 6_000);
    await exactlyOnce();
  });

  it('takes a free port if its own is taken, and says so', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    env['CHODANG_HTTP_PORT'] = String(port);
    const ended = await run('--size', '1000');
    other.close();
    assert.equal(ended.code, 0);
    assert.match(ended.stderr, new RegExp(`Port ${port} is taken; the API takes a free one`));
    assert.notEqual(new URL((ended.json() as Told).addresses.api).port, String(port));
  });

  it('tells no customers of a gateway that is not the simulator', async () => {
    const calls: string[] = [];
    const provider = createServer((request, response) => {
      calls.push(`${request.method} ${request.url}`);
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(provider, 'listening');
    env['CHODANG_TMS_URL'] = `http://127.0.0.1:${(provider.address() as { port: number }).port}`;
    const { code, stderr } = await run();
    provider.close();
    assert.equal(code, 1);
    assert.match(stderr, /The demo only runs against the TMS simulator/);
    assert.deepEqual(calls, ['GET /v1/stats']);
    assert.deepEqual(await database.store.rows('select count(*)::int from orders'), [[0]]);
  });

  it('says what to do with a file that knows nothing of delays', async () => {
    const folder = temporaryFolder();
    const file = join(folder.dir, 'plain.csv');
    writeFileSync(file, 'order_id,seller_id,promised_ship_date\no-1,s-1,2026-12-01\n');
    const { code, stderr } = await run('--orders', file);
    folder.drop();
    assert.equal(code, 1);
    assert.match(
      stderr,
      /mapping chodang\) says nothing of delays, so there is nothing to post.*chodang orders import/s,
    );
  });

  /** How many notifications the simulator delivered; fails if any came twice. */
  async function exactlyOnce(): Promise<number> {
    const { delivered, repeatedKeys } = await simulator.stats();
    assert.equal(repeatedKeys, 0, 'customers who were told twice');
    return delivered;
  }
});

/** The phone number of one customer who has to be told, of the notice for generated orders. */
function someCustomer(size: number): string {
  const { orders, notice } = generateOrders({ size, today: inDays(0) });
  const plan = planFor([notice], orders, inDays(0), { maxDaysLate: 30, maxDelays: 3 });
  const [key = ''] = [...plan.expected].find(([, state]) => state === 'notified') ?? [];
  return plan.phones.get(key) ?? '';
}
