import assert from 'node:assert/strict';
import { until } from '../support/wait.ts';
import { type Api, aBody, countOf, post, startApi } from './api.ts';

const withKey = (key: string, authorization?: string) => ({
  headers: { 'idempotency-key': key, ...(authorization === undefined ? {} : { authorization }) },
});
const typeOf = ({ body }: { body: unknown }) => (body as { type?: string }).type;

describe('An Idempotency-Key', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.close());
  beforeEach(async () => {
    await api.app.ready();
    await api.store.query('truncate intake, notices');
    api.publisher.published = [];
    api.publisher.away = undefined;
    api.path = 'actors';
  });

  it('gets the same answer for the same request, and makes one notice', async () => {
    const first = await post(api, aBody({ orderIds: ['o-1', 'o-1'] }), withKey('k'));
    api.path = 'legacy';
    const again = await post(api, aBody({ orderIds: ['o-1', 'o-1'] }), withKey('k'));
    assert.equal(first.status, 202);
    assert.equal(again.status, 202);
    assert.deepEqual(again.body, first.body);
    assert.equal(await countOf(api.store, 'notices'), 1);
    assert.equal(await countOf(api.store, 'intake'), 1);
    assert.equal(api.publisher.published.length, 1);
  });

  it('means the same request however its JSON is written', async () => {
    const first = await post(
      api,
      '{"reason":"WEATHER","newShipDate":"2026-11-29","orderIds":["o-1"]}',
      withKey('k'),
    );
    const again = await post(
      api,
      '{ "orderIds": ["o-1"], "newShipDate": "2026-11-29", "reason": "\\u0057EATHER" }',
      withKey('k'),
    );
    assert.equal(again.status, 202);
    assert.deepEqual(again.body, first.body);
  });

  it('refuses another request with 422', async () => {
    await post(api, aBody(), withKey('k'));
    for (const other of [
      { newShipDate: '2026-11-30' },
      { reason: 'OUT_OF_STOCK' },
      { detail: 'rain' },
      { orderIds: ['o-2'] },
    ]) {
      const answer = await post(api, aBody(other), withKey('k'));
      assert.equal(answer.status, 422);
      assert.equal(typeOf(answer), '/problems/idempotency-key-reused');
    }
    assert.equal(await countOf(api.store, 'notices'), 1);
  });

  it("is each seller's own", async () => {
    const mine = await post(api, aBody(), withKey('k'));
    const yours = await post(api, aBody({ orderIds: ['o-2'] }), withKey('k', `Bearer ${api.keys['s-2']}`));
    assert.equal(mine.status, 202);
    assert.equal(yours.status, 202);
    assert.equal(await countOf(api.store, 'notices'), 2);
  });

  it('makes one notice of 20 requests at once: each gets 202 with that one, or 409', async () => {
    const body = aBody({ orderIds: Array.from({ length: 5_000 }, (_, n) => `o-${n}`) });
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(api, body, withKey('k'))));
    const ids = new Set<string>();
    for (const answer of answers) {
      if (answer.status === 202) ids.add((answer.body as { noticeId: string }).noticeId);
      else {
        assert.equal(answer.status, 409, answer.text);
        assert.equal(typeOf(answer), '/problems/still-running');
        assert.equal(answer.headers['retry-after'], '1');
      }
    }
    assert.equal(ids.size, 1);
    assert.equal(await countOf(api.store, 'notices'), 1);
    assert.equal(await countOf(api.store, 'intake'), 10);
    const last = await post(api, body, withKey('k'));
    assert.equal(last.status, 202);
    assert.ok(ids.has((last.body as { noticeId: string }).noticeId));
  });

  it('answers 409 while the first request is still running', async () => {
    // What the first one holds until it commits.
    const other = api.store.newClient();
    await other.connect();
    try {
      await other.query('begin; lock table notices in share mode');
      const first = post(api, aBody(), withKey('k'));
      await until(
        () =>
          api.store
            .query(`select 1 from pg_stat_activity where datname = current_database()
            and wait_event_type = 'Lock' and query ~ '^\\s*insert into notices'`)
            .then((rows) => rows.length > 0),
        { what: 'the first request waits for the lock' },
      );
      const second = await post(api, aBody(), withKey('k'));
      assert.equal(second.status, 409);
      await other.query('rollback');
      assert.equal((await first).status, 202);
    } finally {
      await other.end();
    }
  });

  it('still gets its answer while RabbitMQ is away', async () => {
    const first = await post(api, aBody(), withKey('k'));
    api.publisher.away = 'RabbitMQ is away';
    const again = await post(api, aBody(), withKey('k'));
    assert.equal(again.status, 202);
    assert.deepEqual(again.body, first.body);
  });

  it('is free again after a 503', async () => {
    api.publisher.away = 'RabbitMQ is away';
    assert.equal((await post(api, aBody(), withKey('k'))).status, 503);
    api.publisher.away = undefined;
    assert.equal((await post(api, aBody({ orderIds: ['o-2'] }), withKey('k'))).status, 202);
  });
});
