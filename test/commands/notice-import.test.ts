import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { addApiKey } from '../../src/store/sellers.ts';
import { aCsv, csvHeader, ids } from '../http/import/uploads.ts';
import { type CliOptions, chodang, startChodang } from '../support/cli.ts';
import { proxyTo } from '../support/proxy.ts';
import { temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

describe('chodang notice import', function () {
  this.timeout(90_000); // each command is a process of its own
  let world: World;
  let folder: ReturnType<typeof temporaryFolder>;
  let apiKey: string;

  before(async () => {
    world = await aWorld();
    folder = temporaryFolder();
    await world.start();
    apiKey = await addApiKey(world.store, 's-1');
  });
  after(async () => {
    folder.drop();
    await world.close();
  });
  beforeEach(() => world.store.query('truncate notices, intake, imports, import_rejects'));

  const rest = `${inDays(7)},WEATHER,`;
  const aFile = (name: string, content: string | Buffer) => {
    const file = join(folder.dir, name);
    writeFileSync(file, content);
    return file;
  };
  const args = (file: string, ...more: string[]) => ['notice', 'import', file, ...more];
  const run = (file: string, more: string[] = [], options: CliOptions & { url?: string } = {}) =>
    chodang(args(file, '--url', options.url ?? world.address(), ...more), {
      ...options,
      env: { SELLER_KEY: apiKey },
    });

  it('sends a CSV, says which notice it is, and waits until all has settled', async () => {
    const file = aFile('late.csv', aCsv(await world.orders(3), rest));
    const { code, stdout, stderr } = await run(file, ['--wait']);
    assert.equal(code, 0, stderr);
    const [, noticeId] = /^Notice (\S+) comes in, path actors\.$/m.exec(stdout) ?? [];
    assert.match(stdout, new RegExp(`^How far it is: chodang notice show ${noticeId}$`, 'm'));
    assert.match(stdout, /^Received in \S+ s \(.* rows per second\): 3 orders, 0 repeats left out\.$/m);
    assert.match(stdout, /^So far: notified 3\.$/m);
  });

  it('sends lines of JSON, gzipped, and prints one JSON object', async () => {
    const lines = ids(5).map((orderId) =>
      JSON.stringify({ orderId, newShipDate: inDays(7), reason: 'WEATHER' }),
    );
    const file = aFile('late.ndjson.gz', gzipSync(lines.join('\n')));
    const ended = await run(file, ['--json']);
    assert.equal(ended.code, 0, ended.stderr);
    const { orders, rejectedRows, idempotencyKey, rejectsFile } = ended.json() as Record<string, unknown>;
    assert.deepEqual([orders, rejectedRows, rejectsFile], [5, 0, null]);
    assert.match(String(idempotencyKey), /^file-[\da-f]{64}$/);
    assert.match(ended.stderr, /^Notice \S+ comes in/m);
  });

  it('makes one notice of one file, however often it is sent', async () => {
    const file = aFile('twice.csv', aCsv(ids(5), rest));
    const noticeIdOf = async () => ((await run(file, ['--json'])).json() as { noticeId: string }).noticeId;
    assert.equal(await noticeIdOf(), await noticeIdOf());
  });

  it('says which rows could not be used, and ends with 2', async () => {
    const file = aFile('some-bad.csv', `${csvHeader}o-1,${rest}\no-2,soon,WEATHER,\n`);
    const rejects = join(folder.dir, 'bad-rows.csv');
    const { code, stdout } = await run(file, ['--rejects', rejects]);
    assert.equal(code, 2);
    assert.match(stdout, /^1 rows could not be used; why, line by line: .*bad-rows\.csv$/m);
    assert.match(readFileSync(rejects, 'utf8'), /^line,order_id,expected,got\r\n3,o-2,/);
    assert.equal(statSync(rejects).mode & 0o777, 0o600);
  });

  it('goes on by itself after its connection broke', async () => {
    const file = aFile('large.csv', aCsv(ids(60_000), `${rest}${'x'.repeat(250)}`));
    const proxy = await proxyTo(Number(new URL(world.address()).port));
    try {
      const { child, ended } = startChodang(args(file, '--url', `http://${proxy.address}`, '--json'), {
        env: { SELLER_KEY: apiKey },
      });
      await until(async () => (await ordersOf()) > 0, { what: 'it has begun', timeoutMs: 30_000 });
      proxy.cut();
      const before = await ordersOf();
      assert.ok(before < 60_000);
      proxy.mend();
      const { code, stderr, json } = await ended;
      assert.equal(child.exitCode, code);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^It is sent again\.$/m);
      assert.equal((json() as { orders: number }).orders, 60_000);
      const [row] = await world.store.query(
        `select count(*)::int notices, (select count(distinct item ->> 'orderId')::int
         from intake cross join json_array_elements(chunk::json -> 'items') item) distinct_orders from notices`,
      );
      assert.deepEqual(row, { notices: 1, distinct_orders: 60_000 });
    } finally {
      await proxy.close();
    }

    async function ordersOf(): Promise<number> {
      const [row] = await world.store.query<{ orders: number }>('select orders from notices');
      return row?.orders ?? 0;
    }
  });

  it('takes standard input, and says with which key to go on', async () => {
    const taken = await run('-', ['--json'], { input: aCsv(ids(2), rest) });
    assert.equal((taken.json() as { orders: number }).orders, 2);
    const away = await run('-', [], { input: aCsv(ids(2), rest), url: 'http://127.0.0.1:9' });
    assert.equal(away.code, 1);
    assert.match(away.stderr, /Nobody answers at http:\/\/127.0.0.1:9/);
    assert.match(away.stderr, /--idempotency-key [\da-f-]{36}:/);
  });

  it('says in sentences what is wrong with a file, and ends with 1', async () => {
    const header = await run(aFile('no-header.csv', 'o-1,2026-12-01,WEATHER,\n'));
    assert.equal(header.code, 1);
    assert.match(
      header.stderr,
      /The request is not as it must be \(400\):\n {2}#: expected a first line that names the columns/,
    );
    const none = await run(join(folder.dir, 'none.csv'));
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^chodang: There is no file .*none\.csv\.$/m);
  });
});
