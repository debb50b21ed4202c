import assert from 'node:assert/strict';
import { once } from 'node:events';
import { withLock } from '../../../src/store/lock.ts';
import { until } from '../../support/wait.ts';
import { type Api, aGate, aMoment, countOf, get, post, startApi } from '../api.ts';
import { aCsv, csvHeader, ids, startUpload, upload } from './uploads.ts';

/** Waits until a value stays as it is for a while, and returns it. */
async function settledValue(valueOf: () => number): Promise<number> {
  for (let before = valueOf(); ; before = valueOf()) {
    for (let moments = 0; moments < 6; moments++) await aMoment();
    if (before === valueOf()) return before;
  }
}

describe('An import that comes in', function () {
  this.timeout(60_000);
  let api: Api;
  let to: { address: string; apiKey: string };
  beforeEach(async () => {
    api = await startApi({ chunkSize: 10, importGroupChunks: 2, importPauseMs: 30, importIdleMs: 3_000 });
    to = { address: await api.app.listen({ port: 0, host: '127.0.0.1' }), apiKey: api.keys['s-1'] };
  });
  afterEach(() => api.close());

  const rows = (orderIds: readonly string[]) =>
    orderIds.map((orderId) => `${orderId},2026-11-29,WEATHER,\n`).join('');
  const progressOf = async (noticeId: string) =>
    (await get(api, `/v1/delay-notices/${noticeId}`)).body as Record<string, unknown>;
  /** The ids in `intake`, in their order; there is one notice. */
  const storedIds = async () =>
    (
      await api.store.query<{ orderId: string }>(
        `select item ->> 'orderId' "orderId"
         from intake cross join json_array_elements(chunk::json -> 'items') with ordinality as i (item, at)
         order by chunk_no, at`,
      )
    ).map(({ orderId }) => orderId);
  const publishedIds = () =>
    api.publisher.published.flatMap(({ chunk }) =>
      (JSON.parse(chunk) as { items: { orderId: string }[] }).items.map(({ orderId }) => orderId),
    );
  /** Waits until nobody holds the import's lock any more. */
  const free = (key: string) =>
    until(() => withLock(api.store, `import ${JSON.stringify(['s-1', key])}`, async () => undefined), {
      what: 'the upload has ended',
    });

  it('is answered as soon as its first rows are safe, and shows how it grows', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(3)));
    const accepted = await started.accepted;
    assert.deepEqual(
      [(await started.answered).statusCode, accepted.state, accepted.orders],
      [202, 'receiving', 3],
    );
    assert.equal((await started.answered).headers['location'], accepted.links['self']);
    assert.deepEqual([await storedIds(), publishedIds()], [ids(3), ids(3)]);
    const { state, orders, settledAt } = await progressOf(accepted.noticeId);
    assert.deepEqual([state, orders, settledAt], ['receiving', 3, null]);

    await started.write(`x,soon,WEATHER,\n${rows(ids(40, 3))}`);
    await until(async () => (await progressOf(accepted.noticeId))['orders'] === 43, { what: 'it grows' });
    assert.deepEqual((await progressOf(accepted.noticeId))['rejectedRows'], 1);
    const rejected = (await get(api, accepted.links['rejectedRows'] ?? '')).body as { items: object[] };
    assert.equal(rejected.items.length, 1, 'rejected rows can be had while it comes in');

    started.end();
    assert.equal((await started.whole).status, 202);
    assert.equal((await progressOf(accepted.noticeId))['state'], 'accepted');
    assert.deepEqual([await storedIds(), publishedIds()], [ids(43), ids(43)]);
  });

  it('may settle as far as it is, and is settled no sooner than it has come in', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(1)));
    const { noticeId } = await started.accepted;
    await api.store.query(
      `insert into ledger (notice_id, order_id, seller_id, state, new_ship_date, settled_at)
       values ($1, 'o-0', 's-1', 'notified', '2026-11-29', now())`,
      [noticeId],
    );
    assert.deepEqual(
      [(await progressOf(noticeId))['state'], (await progressOf(noticeId))['settledAt']],
      ['receiving', null],
    );
    started.end();
    await started.whole;
    assert.equal((await progressOf(noticeId))['state'], 'settled');
  });

  it('goes on after its connection broke, anywhere, as often as that happens: nothing twice, nothing missing', async () => {
    const all = ids(500);
    // With repeats and rejected rows in between.
    const file =
      csvHeader +
      all.map((id, at) => rows(at % 7 === 0 ? [id, id] : [id]) + (at % 50 === 0 ? 'x,\n' : '')).join('');
    let done = false;
    for (let tries = 0; !done; tries++) {
      assert.ok(tries < 100, 'it gets on');
      const started = startUpload(to, { key: 'k' });
      // Breaks ever later, in the middle of a row as well.
      const until = 400 + tries * 700;
      for (let at = 0; at < Math.min(until, file.length); at += 97)
        await started.write(file.slice(at, Math.min(at + 97, until)));
      if (until < file.length) {
        await Promise.race([started.accepted, aMoment()]);
        started.cut();
        await free('k');
      } else {
        started.end();
        const { status, body } = await started.whole;
        assert.equal(status, 202, JSON.stringify(body));
        done = true;
      }
    }
    assert.deepEqual(await storedIds(), all);
    assert.deepEqual(publishedIds().toSorted(), all.toSorted(), 'published once each');
    assert.equal(await countOf(api.store, 'notices'), 1);
    const [counted] = await api.store.query(
      'select n.orders, n.duplicates, i.rejected_rows, i.rows, i.chunks from notices n join imports i using (notice_id)',
    );
    const chunks = await countOf(api.store, 'intake');
    assert.deepEqual(counted, { orders: 500, duplicates: 72, rejected_rows: 10, rows: 582, chunks });
    assert.equal(await countOf(api.store, 'import_rejects'), 10);
    const headers = await api.store.query(`select distinct chunk::jsonb -> 'header' from intake`);
    assert.equal(headers.length, 1, 'all chunks have the same header');
  });

  it('stores nothing of a row that was cut off in the middle', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(`${csvHeader}${rows(['o-1'])}o-2,2026-11-29,WEATHER`);
    await started.accepted;
    started.cut();
    await free('k');
    assert.deepEqual(await storedIds(), ['o-1']);
    await upload(to, csvHeader + rows(['o-1', 'o-22']), { key: 'k' });
    assert.deepEqual(await storedIds(), ['o-1', 'o-22']);
  });

  it('goes on without its rows being sent at all that are safe, if it ended before that was recorded', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(5)));
    const { noticeId } = await started.accepted;
    started.cut();
    await free('k');
    const { body } = await upload(to, csvHeader + rows(ids(5)), { key: 'k' });
    assert.equal(body['noticeId'], noticeId);
    assert.equal((await progressOf(noticeId))['state'], 'accepted');
    assert.deepEqual(await storedIds(), ids(5));
  });

  it('keeps path and trace context of its first request', async () => {
    const trace = (digit: string) => ({ traceparent: `00-${digit.repeat(32)}-${digit.repeat(16)}-01` });
    const started = startUpload(to, { key: 'k', headers: trace('a') });
    await started.write(csvHeader + rows(ids(5)));
    await started.accepted;
    started.cut();
    await free('k');
    api.path = 'legacy';
    const { body } = await upload(to, csvHeader + rows(ids(15)), { key: 'k', headers: trace('b') });
    assert.equal(body['path'], 'actors');
    assert.deepEqual(publishedIds().toSorted(), ids(15).toSorted());
    const headers = await api.store.query<{ header: Record<string, string> }>(
      `select distinct chunk::jsonb -> 'header' header from intake`,
    );
    assert.deepEqual(
      headers.map(({ header }) => [header['path'], header['traceparent']]),
      [['actors', trace('a').traceparent]],
    );
  });

  it('is answered alike once it is there, and nothing is stored again', async () => {
    const file = csvHeader + rows(ids(50));
    const first = await upload(to, file, { key: 'k' });
    const before = publishedIds().length;
    api.publisher.away = 'RabbitMQ is away';
    const again = await upload(to, file, { key: 'k' });
    api.publisher.away = undefined;
    assert.equal(again.status, 202);
    assert.deepEqual(again.body, { ...first.body, orders: 50, state: 'accepted' });
    assert.deepEqual([await storedIds(), publishedIds().length], [ids(50), before]);
  });

  for (const [what, file] of [
    ['longer', csvHeader + rows(ids(51))],
    ['shorter', csvHeader + rows(ids(49))],
    ['another in its last row', csvHeader + rows([...ids(49), 'other'])],
    [
      'of another format',
      ids(50)
        .map((orderId) => JSON.stringify({ orderId, newShipDate: '2026-11-29', reason: 'WEATHER' }))
        .join('\n'),
    ],
  ] as const)
    it(`refuses a file under the key of one that is there, which is ${what}`, async () => {
      await upload(to, csvHeader + rows(ids(50)), { key: 'k' });
      const format = file.startsWith('{') ? { 'content-type': 'application/x-ndjson' } : {};
      const { status, body } = await upload(to, file, { key: 'k', headers: { ...format } });
      assert.deepEqual([status, body['type']], [422, '/problems/idempotency-key-reused']);
      assert.deepEqual(await storedIds(), ids(50));
    });

  it('refuses another file under the key of one that broke off', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(25)));
    const { noticeId } = await started.accepted;
    started.cut();
    await free('k');
    const { status, body } = await upload(to, csvHeader + rows(ids(50, 100)), { key: 'k' });
    assert.deepEqual([status, body['type']], [422, '/problems/idempotency-key-reused']);
    assert.equal((await progressOf(noticeId))['state'], 'receiving', 'the right one may still come');
  });

  it('refuses the key of a notice that is no import, and a notice with the key of an import', async () => {
    const body = { reason: 'WEATHER', newShipDate: '2026-11-29', orderIds: ['o-1'] };
    await post(api, body, { headers: { 'idempotency-key': 'notice' } });
    const file = await upload(to, csvHeader + rows(ids(1)), { key: 'notice' });
    assert.deepEqual([file.status, file.body['type']], [422, '/problems/idempotency-key-reused']);
    await upload(to, csvHeader + rows(ids(1)), { key: 'import' });
    const notice = await post(api, body, { headers: { 'idempotency-key': 'import' } });
    assert.equal(notice.status, 422);
    assert.equal(await countOf(api.store, 'notices'), 2);
  });

  it('refuses the same file while it comes in, and takes it when that has broken off', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(15)));
    await started.accepted;
    const { status, body } = await upload(to, csvHeader + rows(ids(15)), { key: 'k' });
    assert.deepEqual([status, body['type']], [409, '/problems/still-running']);
    const other = await upload({ ...to, apiKey: api.keys['s-2'] }, aCsv(ids(15)), { key: 'k' });
    assert.equal(other.status, 202, 'the key of another seller is another key');
    started.cut();
    await free('k');
    assert.equal((await upload(to, csvHeader + rows(ids(15)), { key: 'k' })).status, 202);
    assert.equal(await countOf(api.store, 'notices'), 2);
  });

  it('has its own id for a key, if it came without one', async () => {
    const started = startUpload(to);
    await started.write(csvHeader + rows(ids(15)));
    const { noticeId } = await started.accepted;
    started.cut();
    await free(noticeId);
    const { body } = await upload(to, csvHeader + rows(ids(30)), { key: noticeId });
    assert.equal(body['noticeId'], noticeId);
    assert.deepEqual(await storedIds(), ids(30));
  });

  it('is not read on while what was read is not published', async () => {
    const gate = aGate();
    api.publisher.before = () => gate.opened;
    // With rows between the orders that can't be used: more than any socket holds, 13 MB.
    const padding = `-,-,-,${'x'.repeat(10_000)}\n`;
    const all = ids(1_300);
    const started = startUpload(to, { key: 'k' });
    let written = 0;
    const file = (async () => {
      await started.write(csvHeader);
      for (const orderId of all) {
        await started.write(rows([orderId]) + padding);
        written++;
      }
      started.end();
    })();
    try {
      await started.accepted;
      const before = await settledValue(() => written);
      assert.ok(before < all.length, 'the sender is held up');
      const stored = await countOf(api.store, 'intake');
      assert.ok(stored <= 2, `${stored} chunks are stored: one group`);
    } finally {
      gate.open();
    }
    await file;
    assert.equal((await started.whole).status, 202);
    assert.deepEqual(await storedIds(), all);
  });

  for (const why of ['away', 'full'] as const)
    it(`waits while RabbitMQ is ${why}, and goes on when it is not`, async () => {
      const started = startUpload(to, { key: 'k' });
      await started.write(csvHeader + rows(ids(5)));
      const { noticeId } = await started.accepted;
      api.publisher[why] = 'told so';
      await started.write(rows(ids(5, 5)));
      started.end();
      await aMoment();
      assert.deepEqual(await storedIds(), ids(5), 'nothing is stored that can not be published');
      assert.equal((await progressOf(noticeId))['state'], 'receiving');
      api.publisher[why] = undefined;
      assert.equal((await started.whole).status, 202);
      assert.deepEqual(publishedIds(), ids(10));
    });

  it('leaves what can not be published to the sweep, and goes on', async () => {
    let fails = 1;
    api.publisher.before = () => {
      if (fails-- > 0) throw new Error('no confirm');
    };
    assert.equal((await upload(to, csvHeader + rows(ids(45)), { key: 'k' })).status, 202);
    assert.deepEqual(await storedIds(), ids(45));
    assert.deepEqual(publishedIds(), ids(35, 10));
    const waiting = await api.store.query<{ chunk_no: number }>(
      'select chunk_no from intake where done_at is null',
    );
    assert.deepEqual(waiting, [{ chunk_no: 0 }]);
  });

  it('ends without the end of its answer when it breaks off, and says so in its state', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(5)));
    const { noticeId } = await started.accepted;
    await api.store.query('alter table intake rename to elsewhere');
    await started.write(rows(ids(30, 5)));
    await assert.rejects(started.whole, { code: 'ECONNRESET' });
    await api.store.query('alter table elsewhere rename to intake');
    assert.deepEqual(
      [(await progressOf(noticeId))['state'], (await progressOf(noticeId))['orders']],
      ['receiving', 5],
    );
    await free('k');
    assert.equal((await upload(to, csvHeader + rows(ids(40)), { key: 'k' })).status, 202);
    assert.deepEqual(await storedIds(), ids(40));
  });

  it('breaks off if its sender falls silent', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(5)));
    const { noticeId } = await started.accepted;
    await once(started.request, 'close');
    await assert.rejects(started.whole);
    assert.equal((await progressOf(noticeId))['state'], 'receiving');
    await free('k');
  });

  it('breaks off when the server is stopped, and goes on at another one', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(5)));
    await started.accepted;
    const closed = api.app.close();
    await assert.rejects(started.whole);
    await closed;
    const other = await startApi({ store: api.store });
    try {
      const address = await other.app.listen({ port: 0, host: '127.0.0.1' });
      assert.equal((await upload({ ...to, address }, csvHeader + rows(ids(40)), { key: 'k' })).status, 202);
      assert.deepEqual(await storedIds(), ids(40));
    } finally {
      await other.close();
    }
  });

  it('stores nothing any more once another upload has gone on with it', async () => {
    const started = startUpload(to, { key: 'k' });
    await started.write(csvHeader + rows(ids(5)));
    const { noticeId } = await started.accepted;
    // What another one does that got the lock when this one had lost it, unnoticed.
    await api.store.query('update imports set rows = rows + 1 where notice_id = $1', [noticeId]);
    await started.write(rows(ids(5, 5)));
    await assert.rejects(started.whole);
    assert.deepEqual(await storedIds(), ids(5));
  });

  it('is one of so many at once', async () => {
    const others = await Promise.all(
      ids(4).map(async (key) => {
        const started = startUpload(to, { key });
        await started.write(csvHeader + rows([key]));
        await started.accepted;
        return started;
      }),
    );
    const { status, body } = await upload(to, csvHeader + rows(ids(1)), { key: 'k' });
    assert.deepEqual([status, body['type']], [503, '/problems/unavailable']);
    for (const other of others) other.end();
    for (const other of others) assert.equal((await other.whole).status, 202);
    assert.equal((await upload(to, csvHeader + rows(ids(1)), { key: 'k' })).status, 202);
  });
});
