import assert from 'node:assert/strict';
import { parseChunk } from '../../src/rules/message.ts';
import { upsertOrders } from '../../src/store/orders.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { until } from '../support/wait.ts';
import { type Api, aBody, aGate, aMoment, countOf, type PostArguments, post, startApi } from './api.ts';

interface Accepted {
  noticeId: string;
  path: string;
  orders: number;
  duplicates: number;
  links: { self: string; orders: string };
}

const someIds = (n: number) => Array.from({ length: n }, (_, i) => `o-${i}`);

describe('Posting a delay notice', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.close());
  beforeEach(() => {
    api.path = 'actors';
    api.publisher.away = undefined;
    api.publisher.full = undefined;
    api.publisher.before = () => undefined;
    api.publisher.published = [];
  });

  async function accepted(...request: PostArguments) {
    const { status, body, text } = await post(api, ...request);
    assert.equal(status, 202, text);
    return body as Accepted;
  }
  const chunksOf = (noticeId: string) =>
    api.store.query<{ path: string; lane: string; chunk: string; done: boolean }>(
      'select path, lane, chunk, done_at is not null done from intake where notice_id = $1 order by chunk_no',
      [noticeId],
    );

  const laneOf = async (orderIds: string[]) =>
    (await chunksOf((await accepted(aBody({ orderIds }))).noticeId))[0]?.lane;

  it('is answered with what was stored', async () => {
    const body = await accepted(
      aBody({ reason: 'ETC', detail: '비가 와서', orderIds: ['o-1', 'o-2', 'o-1'] }),
    );
    const { noticeId } = body;
    assert.deepEqual(body, {
      noticeId,
      path: 'actors',
      orders: 2,
      duplicates: 1,
      links: { self: `/v1/delay-notices/${noticeId}`, orders: `/v1/delay-notices/${noticeId}/orders` },
    });
    assert.match(noticeId, /^[\da-f]{8}-[\da-f]{4}-7/);
    const [notice] = await api.store.query(
      'select seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders, duplicates from notices where notice_id = $1',
      [noticeId],
    );
    assert.deepEqual(
      { ...notice },
      {
        seller_id: 's-1',
        path: 'actors',
        lane: 'express',
        switch_version: 7,
        reason: 'ETC',
        detail: '비가 와서',
        new_ship_date: '2026-11-29',
        orders: 2,
        duplicates: 1,
      },
    );
  });

  it('stores the distinct orders in chunks of 500 that the pipeline can read', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const odd = 'a "quoted" \\ 주문 🌽, id\u2028';
    const orderIds = [...someIds(1_100), odd, 'o-5'];
    const { noticeId, orders, duplicates } = await accepted(aBody({ orderIds }), {
      headers: { traceparent },
    });
    assert.deepEqual([orders, duplicates], [1_101, 1]);
    const chunks = (await chunksOf(noticeId)).map(({ chunk }) => parseChunk(JSON.parse(chunk)));
    assert.deepEqual(
      chunks.map(({ items }) => items.length),
      [500, 500, 101],
    );
    assert.deepEqual(
      chunks.flatMap(({ items }) => items),
      [...someIds(1_100), odd].map((orderId) => ({ orderId })),
    );
    for (const { header } of chunks)
      assert.deepEqual(header, {
        noticeId,
        sellerId: 's-1',
        path: 'actors',
        reason: 'WEATHER',
        newShipDate: '2026-11-29',
        traceparent,
      });
  });

  it('takes the first lane that is wide enough, by distinct orders', async () => {
    assert.equal(await laneOf(someIds(100)), 'express');
    assert.equal(await laneOf([...someIds(100), 'o-7']), 'express');
    assert.equal(await laneOf(someIds(101)), 'bulk');
  });

  it('stores a small notice while a large one is being stored', async () => {
    const other = api.store.newClient();
    await other.connect();
    try {
      await other.query(
        `begin; insert into notices (notice_id, seller_id, path, lane, reason, new_ship_date, orders, duplicates,
                                     idempotency_key, body_hash)
         values (gen_random_uuid(), 's-1', 'actors', 'bulk', 'WEATHER', '2026-11-29', 1, 0, 'held', '')`,
      );
      let isLargeStored = false;
      const large = accepted(aBody({ orderIds: someIds(101) }), {
        headers: { 'idempotency-key': 'held' },
      }).then(() => {
        isLargeStored = true;
      });
      await until(
        async () =>
          (
            await api.store.query(
              `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
            )
          ).length > 0,
        { what: 'the large one waits for the other with its key' },
      );
      await accepted(aBody());
      assert.equal(isLargeStored, false);
      await other.query('rollback');
      await large;
    } finally {
      await other.end();
    }
  });

  it('takes the longest ids and details there may be, counted in characters', async () => {
    await accepted(aBody({ detail: '🌽'.repeat(300), orderIds: ['🌽'.repeat(100), ' '] }));
  });

  it('takes 50,000 orders', async () => {
    const { noticeId, orders } = await accepted(aBody({ orderIds: someIds(50_000) }));
    assert.equal(orders, 50_000);
    assert.equal((await chunksOf(noticeId)).length, 100);
  });

  it('leaves a date in the past to the rules', async () => {
    await accepted(aBody({ newShipDate: '2020-01-01' }));
  });

  it('publishes at once and marks each chunk when it is confirmed', async () => {
    const { noticeId } = await accepted(aBody({ orderIds: someIds(1_200) }));
    await until(async () => (await chunksOf(noticeId)).every(({ done }) => done), { what: 'all are marked' });
    const stored = await chunksOf(noticeId);
    const byNumber = api.publisher.published.toSorted((a, b) => a.chunkNo - b.chunkNo);
    assert.deepEqual(
      byNumber,
      stored.map(({ chunk }, chunkNo) => ({
        noticeId,
        chunkNo,
        lane: 'bulk',
        chunk,
        orders: [500, 500, 200][chunkNo],
      })),
    );
  });

  it('publishes only what is committed', async () => {
    let committed = 0;
    api.publisher.before = async ({ noticeId }) => {
      committed = (await chunksOf(noticeId)).length;
    };
    await accepted(aBody());
    await until(() => committed === 1, { what: 'the publisher saw the chunk in the database' });
  });

  it('answers 202 before anything is confirmed', async () => {
    const gate = aGate();
    api.publisher.before = () => gate.opened;
    const { noticeId } = await accepted(aBody());
    assert.deepEqual(
      (await chunksOf(noticeId)).map(({ done }) => done),
      [false],
    );
    gate.open();
    await until(async () => (await chunksOf(noticeId))[0]?.done, { what: 'the chunk is marked' });
  });

  it('leaves a chunk that was not confirmed to the sweep, and marks the others', async () => {
    api.publisher.before = ({ chunkNo }) => {
      if (chunkNo === 1) throw new Error('nobody confirmed it');
    };
    const { noticeId } = await accepted(aBody({ orderIds: someIds(1_200) }));
    await until(async () => (await chunksOf(noticeId)).filter(({ done }) => done).length === 2, {
      what: 'two chunks are marked',
    });
    await aMoment();
    assert.deepEqual(
      (await chunksOf(noticeId)).map(({ done }) => done),
      [true, false, true],
    );
  });

  it('refuses with 503 and Retry-After on path actors while nothing can be published', async () => {
    const before = await countOf(api.store, 'notices');
    api.publisher.away = 'RabbitMQ is away';
    const { status, headers, body } = await post(api, aBody());
    assert.equal(status, 503);
    assert.equal(headers['retry-after'], '5');
    assert.equal((body as { type?: string }).type, '/problems/unavailable');
    assert.equal(await countOf(api.store, 'notices'), before);
  });

  it('refuses likewise while too much waits to be confirmed, and takes the next one when there is room', async () => {
    api.publisher.full = 'RabbitMQ has yet to confirm 40,000,000 bytes';
    assert.equal((await post(api, aBody())).status, 503);
    api.publisher.full = undefined;
    assert.equal((await post(api, aBody())).status, 202);
  });

  it('accepts on path legacy while RabbitMQ is away, and publishes nothing', async () => {
    api.path = 'legacy';
    api.publisher.away = 'RabbitMQ is away';
    const { noticeId, path } = await accepted(aBody());
    assert.equal(path, 'legacy');
    await aMoment();
    assert.deepEqual(api.publisher.published, []);
    assert.deepEqual(
      (await chunksOf(noticeId)).map(({ path, done }) => [path, done]),
      [['legacy', false]],
    );
  });

  it('treats a variant that is no path like the fallback', async () => {
    api.path = 'shadow';
    assert.equal((await accepted(aBody())).path, 'legacy');
  });

  it('ignores a traceparent that is none', async () => {
    const { noticeId } = await accepted(aBody(), { headers: { traceparent: 'nonsense' } });
    const [chunk] = await chunksOf(noticeId);
    assert.equal(parseChunk(JSON.parse(chunk?.chunk ?? '')).header.traceparent, undefined);
  });

  it('lets a new key in at once', async () => {
    const key = await addApiKey(api.store, 's-3');
    const { noticeId } = await accepted(aBody(), { headers: { authorization: `bearer ${key}` } });
    const rows = await api.store.query('select seller_id from notices where notice_id = $1', [noticeId]);
    assert.deepEqual(rows, [{ seller_id: 's-3' }]);
  });

  it('waits, when closed, until what it accepted is published', async () => {
    const other = await startApi();
    try {
      const gate = aGate();
      other.publisher.before = () => gate.opened;
      assert.equal((await post(other, aBody())).status, 202);
      let closed = false;
      const closing = other.app.close().then(() => (closed = true));
      await aMoment();
      assert.equal(closed, false);
      gate.open();
      await closing;
      const rows = await other.store.query('select done_at is not null done from intake');
      assert.deepEqual(rows, [{ done: true }]);
    } finally {
      await other.close();
    }
  });
});

describe('A dry run', () => {
  it("tells each order's verdict, and stores nothing", async () => {
    const api = await startApi();
    try {
      const open = { sellerId: 's-1', status: 'open', promisedShipDate: '2026-11-22' } as const;
      await upsertOrders(api.store, [
        { ...open, orderId: 'good' },
        { ...open, orderId: 'shipped', status: 'shipped' },
        { ...open, orderId: 'later', expectedShipDate: '2026-12-05' },
        { ...open, orderId: 'not yours', sellerId: 's-2' },
      ]);
      api.publisher.away = 'RabbitMQ is away';
      const orderIds = ['good', 'shipped', 'later', 'not yours', 'unknown', 'good'];
      const { status, body } = await post(api, aBody({ orderIds }), { query: '?dryRun=true' });
      assert.equal(status, 200);
      assert.deepEqual(body, {
        orders: 5,
        duplicates: 1,
        counts: { accepted: 1, rejected: 4 },
        verdicts: [
          { orderId: 'good', verdict: 'accepted' },
          { orderId: 'shipped', verdict: 'rejected', reason: 'ORDER_SHIPPED' },
          { orderId: 'later', verdict: 'rejected', reason: 'DATE_NOT_LATER' },
          { orderId: 'not yours', verdict: 'rejected', reason: 'ORDER_NOT_FOUND' },
          { orderId: 'unknown', verdict: 'rejected', reason: 'ORDER_NOT_FOUND' },
        ],
      });
      for (const table of ['notices', 'intake', 'ledger']) assert.equal(await countOf(api.store, table), 0);
      const [good] = await api.store.query(
        `select expected_ship_date date from orders where order_id = 'good'`,
      );
      assert.deepEqual(good, { date: '2026-11-22' });
      assert.deepEqual(api.publisher.published, []);
    } finally {
      await api.close();
    }
  });
});
