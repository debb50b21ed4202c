import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addApiKey } from '../../src/store/sellers.ts';
import { chodang } from '../support/cli.ts';
import { temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

describe('chodang notice', function () {
  this.timeout(60_000); // each command is a process of its own
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

  const run = (...args: string[]) =>
    chodang(['notice', ...args, '--url', world.address()], { env: { SELLER_KEY: apiKey } });
  const post = (...args: string[]) => run('post', '--reason', 'WEATHER', '--date', inDays(7), ...args);

  it('posts a notice for orders named, and shows how it settles', async () => {
    const [one = '', other = ''] = await world.orders(2);
    const posted = await post('--json', '--orders', one, other, one, 'none');
    assert.equal(posted.code, 0, posted.stderr);
    const { noticeId, orders, duplicates } = posted.json() as Record<string, unknown>;
    assert.deepEqual([orders, duplicates], [3, 1]);
    const settled = await until(
      async () => {
        const shown = await run('show', String(noticeId), '--json');
        const progress = shown.json() as { state: string; counts: Record<string, number> };
        return progress.state === 'settled' && progress;
      },
      { what: 'the notice has settled', timeoutMs: 20_000 },
    );
    assert.deepEqual([settled.counts['notified'], settled.counts['rejected']], [2, 1]);
    const { stdout } = await run('show', String(noticeId));
    assert.match(stdout, /^state +settled$.*^ {2}notified +2$.*^ {4}ORDER_NOT_FOUND +1$/ms);
  });

  it('posts a notice for the orders of a file', async () => {
    const ids = await world.orders(3);
    const file = join(folder.dir, 'late.txt');
    writeFileSync(file, `order_id\r\n${ids.join('\r\n')}\r\n\r\n`);
    const { code, stdout } = await post('--orders', file);
    assert.equal(code, 0);
    assert.match(stdout, /^Notice \S+ is accepted: 3 orders, path actors\./);
  });

  it('sends one notice only if repeated with the same idempotency key', async () => {
    const [id = ''] = await world.orders(1);
    const again = () => post('--json', '--idempotency-key', 'k-1', '--orders', id);
    assert.deepEqual((await again()).json(), (await again()).json());
  });

  it('says in sentences what the API did not like, and ends with 1', async () => {
    const date = await run('post', '--reason', 'WEATHER', '--date', 'soon', '--orders', 'o-1');
    assert.equal(date.code, 1);
    assert.match(
      date.stderr,
      /^chodang: The request is not as it must be \(400\):\n {2}#\/newShipDate: expected a calendar day as YYYY-MM-DD.*got "soon"\n {2}more: http:/s,
    );
    const key = await chodang(['notice', 'show', 'x', '--url', world.address(), '--seller-key', 'chd_wrong']);
    assert.equal(key.code, 1);
    assert.match(key.stderr, /The API key is missing or wrong \(401\)\. The API key is not known/);
    const reason = await run('post', '--reason', 'LAZY', '--date', inDays(7), '--orders', 'o-1');
    assert.equal(reason.code, 1);
    assert.match(reason.stderr, /LAZY.*Allowed choices are PRODUCT_PREPARE/s);
    const away = await chodang(['notice', 'show', 'x', '--url', 'http://127.0.0.1:9', '--seller-key', 'k']);
    assert.equal(away.code, 1);
    assert.match(away.stderr, /Nobody answers at http:\/\/127.0.0.1:9.*is Chodang running there\?/);
  });
});
