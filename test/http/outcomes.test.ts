import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { until } from '../support/wait.ts';
import { type Api, aBody, get, post, startApi } from './api.ts';

interface Page {
  items: { orderId?: string; noticeId?: string; state?: string }[];
  nextCursor: string | null;
}

describe('What became of a notice', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
    api.path = 'legacy';
  });
  after(() => api.close());

  async function aNoticeOf(orderIds: string[]): Promise<string> {
    const { status, body, text } = await post(api, aBody({ orderIds }));
    assert.equal(status, 202, text);
    return (body as { noticeId: string }).noticeId;
  }
  /** Writes ledger rows: order id, state, reject reason, note. */
  async function ledger(noticeId: string, rows: [string, string, (string | null)?, (string | null)?][]) {
    for (const [at, [orderId, state, rejectReason = null, note = null]] of rows.entries())
      await api.store.query(
        `insert into ledger (notice_id, seller_id, order_id, state, reject_reason, old_ship_date, new_ship_date, note, settled_at)
         values ($1, 's-1', $2, $3::ledger_state, $4, $5, '2026-11-29', $6, $7)
         on conflict (notice_id, order_id) do update set state = excluded.state, settled_at = excluded.settled_at`,
        [
          noticeId,
          orderId,
          state,
          rejectReason,
          rejectReason === 'ORDER_NOT_FOUND' ? null : '2026-11-22',
          note,
          state === 'delayed' ? null : `2026-11-22T01:00:0${at}Z`,
        ],
      );
  }

  it('is counted from the ledger: accepted, settling, settled', async () => {
    const noticeId = await aNoticeOf(['o-1', 'o-2', 'o-3', 'o-4', 'o-1']);
    const look = async () =>
      (await get(api, `/v1/delay-notices/${noticeId}`)).body as Record<string, unknown>;
    const none = { rejected: 0, delayed: 0, notified: 0, undeliverable: 0, unconfirmed: 0, failed: 0 };
    const { acceptedAt, ...accepted } = await look();
    assert.ok(Math.abs(Date.parse(String(acceptedAt)) - Date.now()) < 60_000);
    assert.deepEqual(accepted, {
      noticeId,
      state: 'accepted',
      path: 'legacy',
      orders: 4,
      duplicates: 1,
      counts: none,
      rejectReasons: {},
      settledAt: null,
    });

    await ledger(noticeId, [
      ['o-1', 'rejected', 'ORDER_SHIPPED'],
      ['o-2', 'rejected', 'ORDER_NOT_FOUND'],
      ['o-3', 'delayed'],
    ]);
    const settling = await look();
    assert.equal(settling['state'], 'settling');
    assert.deepEqual(settling['counts'], { ...none, rejected: 2, delayed: 1 });
    assert.deepEqual(settling['rejectReasons'], { ORDER_SHIPPED: 1, ORDER_NOT_FOUND: 1 });
    assert.equal(settling['settledAt'], null);

    await ledger(noticeId, [
      ['o-4', 'unconfirmed'],
      ['o-3', 'delayed'],
    ]);
    assert.equal((await look())['state'], 'settling', 'one order is still only delayed');

    await ledger(noticeId, [
      ['o-4', 'unconfirmed'],
      ['o-3', 'notified'],
    ]);
    const settled = await look();
    assert.equal(settled['state'], 'settled');
    assert.deepEqual(settled['counts'], { ...none, rejected: 2, notified: 1, unconfirmed: 1 });
    assert.equal(settled['settledAt'], '2026-11-22T01:00:01.000Z');
  });

  it('is the same 404 for an unknown id, what is no id, and another seller', async () => {
    const noticeId = await aNoticeOf(['o-1']);
    const answers = [
      await get(api, '/v1/delay-notices/019aa2d5-0000-7000-8000-000000000000'),
      await get(api, '/v1/delay-notices/1%27%20or%201=1'),
      await get(api, `/v1/delay-notices/${noticeId}`, { seller: 's-2' }),
      await get(api, `/v1/delay-notices/${noticeId}/orders`, { seller: 's-2' }),
      await get(api, '/v1/delay-notices/nonsense/orders'),
      await get(api, `/v1/delay-notices/${noticeId}/orders`, {
        seller: 's-2',
        headers: { accept: 'text/csv' },
      }),
    ].map(({ status, body }) => {
      const { instance, ...problem } = body as Record<string, unknown>;
      assert.match(String(instance), /^urn:uuid:/);
      return { answered: status, ...problem };
    });
    assert.deepEqual(answers[0], {
      answered: 404,
      type: '/problems/not-found',
      title: 'There is nothing here',
      status: 404,
      detail: 'You have no delay notice with this id.',
    });
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
  });

  it('needs a key', async () => {
    for (const url of ['', '/x', '/x/orders'])
      assert.equal((await api.app.inject(`/v1/delay-notices${url}`)).statusCode, 401);
  });

  it('lists the outcome of each order', async () => {
    const noticeId = await aNoticeOf(['a', 'b', 'c', 'not judged yet']);
    await ledger(noticeId, [
      ['a', 'rejected', 'ORDER_NOT_FOUND'],
      ['b', 'undeliverable', null, 'no such number'],
      ['c', 'delayed'],
    ]);
    const { body } = await get(api, `/v1/delay-notices/${noticeId}/orders`);
    assert.deepEqual(body, {
      items: [
        {
          orderId: 'a',
          state: 'rejected',
          rejectReason: 'ORDER_NOT_FOUND',
          oldShipDate: null,
          newShipDate: '2026-11-29',
          settledAt: '2026-11-22T01:00:00.000Z',
        },
        {
          orderId: 'b',
          state: 'undeliverable',
          oldShipDate: '2026-11-22',
          newShipDate: '2026-11-29',
          note: 'no such number',
          settledAt: '2026-11-22T01:00:01.000Z',
        },
        {
          orderId: 'c',
          state: 'delayed',
          oldShipDate: '2026-11-22',
          newShipDate: '2026-11-29',
          settledAt: null,
        },
      ],
      nextCursor: null,
    });
  });

  it('pages through all orders once, whatever their ids, also of one state', async () => {
    const orderIds = ['Z', 'a', '주문-1', '🌽', "it's", '%', ' ', 'a/b', 'A'];
    const noticeId = await aNoticeOf(orderIds);
    await ledger(
      noticeId,
      orderIds.map((id, at) => [id, at % 2 === 0 ? 'notified' : 'failed']),
    );
    for (const [state, expected] of [
      ['', orderIds],
      ['failed', orderIds.filter((_, at) => at % 2 === 1)],
    ] as const) {
      const seen: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const query = `limit=2${state && `&state=${state}`}${cursor && `&cursor=${cursor}`}`;
        const { status, body, text } = await get(api, `/v1/delay-notices/${noticeId}/orders?${query}`);
        assert.equal(status, 200, text);
        const page = body as Page;
        assert.ok(page.items.length <= 2);
        seen.push(...page.items.map(({ orderId }) => String(orderId)));
        cursor = page.nextCursor;
      }
      assert.deepEqual(
        seen,
        expected.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
    }
  });

  it('refuses a cursor, state or limit that is none', async () => {
    const noticeId = await aNoticeOf(['o-1']);
    const nul = Buffer.from('a\0b').toString('base64url');
    for (const query of [
      `cursor=${nul}`,
      'cursor=*',
      'cursor=',
      'state=shipped',
      'limit=0',
      'limit=1001',
      'limit=x',
      'page=2',
    ]) {
      const { status, body } = await get(api, `/v1/delay-notices/${noticeId}/orders?${query}`);
      assert.equal(status, 400, query);
      const { errors } = body as { errors: { parameter: string }[] };
      assert.equal(errors[0]?.parameter, query.split('=')[0]);
    }
    assert.equal((await get(api, `/v1/delay-notices?cursor=${nul}`)).status, 400);
  });

  it('comes as CSV of all pages, safe to open in a spreadsheet', async () => {
    const orderIds = Array.from({ length: 12_000 }, (_, n) => `o-${String(n).padStart(5, '0')}`);
    const noticeId = await aNoticeOf([...orderIds, 'x,"y"', '=1+1']);
    await api.store.query(
      `insert into ledger (notice_id, seller_id, order_id, state, old_ship_date, new_ship_date)
       select $1, 's-1', id, 'delayed', '2026-11-22', '2026-11-29' from unnest($2::text[]) id`,
      [noticeId, orderIds],
    );
    await ledger(noticeId, [
      ['x,"y"', 'undeliverable', null, '+82 is no number'],
      ['=1+1', 'rejected', 'ORDER_NOT_FOUND'],
    ]);
    const { status, headers, text } = await get(api, `/v1/delay-notices/${noticeId}/orders`, {
      headers: { accept: 'text/csv' },
    });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/csv; charset=utf-8');
    assert.match(String(headers['content-disposition']), new RegExp(`notice-${noticeId}\\.csv`));
    const rows: string[][] = parse(text, { record_delimiter: '\r\n' });
    assert.equal(rows.length, 1 + 12_000 + 2);
    assert.deepEqual(rows[0], [
      'order_id',
      'state',
      'reject_reason',
      'old_ship_date',
      'new_ship_date',
      'note',
      'settled_at',
    ]);
    assert.deepEqual(rows[1], [
      "'=1+1",
      'rejected',
      'ORDER_NOT_FOUND',
      '',
      '2026-11-29',
      '',
      '2026-11-22T01:00:01.000Z',
    ]);
    assert.deepEqual(rows.at(-1), [
      'x,"y"',
      'undeliverable',
      '',
      '2026-11-22',
      '2026-11-29',
      "'+82 is no number",
      '2026-11-22T01:00:00.000Z',
    ]);
    assert.deepEqual(
      rows.slice(2, -1).map(([id]) => id),
      orderIds,
    );

    const rejected = await get(api, `/v1/delay-notices/${noticeId}/orders?state=rejected`, {
      headers: { accept: 'application/json;q=0.5, text/csv' },
    });
    assert.equal(rejected.text.split('\r\n').length, 3);
  });

  it('comes as JSON to who prefers that', async () => {
    const noticeId = await aNoticeOf(['o-1']);
    for (const accept of ['*/*', 'application/json', 'application/json, text/csv;q=0.9', 'text/csv;q=0'])
      assert.deepEqual(
        (await get(api, `/v1/delay-notices/${noticeId}/orders`, { headers: { accept } })).body,
        {
          items: [],
          nextCursor: null,
        },
      );
  });
});

describe('A download', () => {
  let api: Api;
  let address: URL;
  let path: string;
  const rows = 200_000;
  before(async () => {
    api = await startApi({ downloadIdleMs: 2_000 });
    api.path = 'legacy';
    address = new URL(await api.app.listen({ port: 0, host: '127.0.0.1' }));
    const { body } = await post(api, aBody());
    const { noticeId } = body as { noticeId: string };
    path = `/v1/delay-notices/${noticeId}/orders`;
    await api.store.query(
      `insert into ledger (notice_id, seller_id, order_id, state, old_ship_date, new_ship_date)
       select $1, 's-1', 'order-' || lpad(i::text, 30, '0'), 'delayed', '2026-11-22', '2026-11-29'
       from generate_series(1, $2::int) as i`,
      [noticeId, rows],
    );
  });
  after(() => api.close());

  /** Asks for it, and reads nothing yet. */
  const asked = async () => {
    const socket = connect(Number(address.port), address.hostname);
    socket.pause();
    await once(socket, 'connect');
    socket.write(
      `GET ${path} HTTP/1.1\r\nhost: x\r\naccept: text/csv\r\nauthorization: Bearer ${api.keys['s-1']}\r\n\r\n`,
    );
    return socket;
  };
  const connections = () =>
    promisify((done: (error: Error | null, count: number) => void) => api.app.server.getConnections(done))();

  it('that nobody reads ends, and its connection with it', async () => {
    const socket = await asked();
    socket.on('error', () => undefined); // it may be told so by a reset
    try {
      await until(async () => (await connections()) === 1, { what: 'it has begun' });
      await until(async () => (await connections()) === 0, { what: 'it was cut' });
    } finally {
      socket.destroy();
    }
  });

  it('that is read slowly comes to its end', async () => {
    const socket = await asked();
    let lines = 0;
    let last = '';
    for await (const part of socket as AsyncIterable<Buffer>) {
      const before = Math.floor(lines / 20_000);
      for (const byte of part) if (byte === 0x0a) lines += 1;
      last = (last + part.toString('latin1')).slice(-7);
      if (last.endsWith('\r\n0\r\n\r\n')) break;
      if (Math.floor(lines / 20_000) > before) await sleep(500);
    }
    assert.ok(lines > rows, `${lines} lines`);
  });
});

describe("A seller's notices", () => {
  it('are listed newest first, page by page, without those of others', async () => {
    const api = await startApi();
    try {
      const ids: string[] = [];
      for (let n = 0; n < 5; n++) {
        ids.unshift(((await post(api, aBody())).body as { noticeId: string }).noticeId);
        await post(api, aBody(), { headers: { authorization: `Bearer ${api.keys['s-2']}` } });
      }
      const first = (await get(api, '/v1/delay-notices?limit=3')).body as Page;
      const second = (await get(api, `/v1/delay-notices?limit=3&cursor=${first.nextCursor}`)).body as Page;
      assert.deepEqual(
        [...first.items, ...second.items].map(({ noticeId }) => noticeId),
        ids,
      );
      assert.equal(second.nextCursor, null);
      const { acceptedAt, ...notice } = first.items[0] as Record<string, unknown>;
      assert.ok(Number.isFinite(Date.parse(String(acceptedAt))));
      assert.deepEqual(notice, {
        noticeId: ids[0],
        reason: 'WEATHER',
        newShipDate: '2026-11-29',
        path: 'actors',
        orders: 1,
        duplicates: 0,
      });
    } finally {
      await api.close();
    }
  });
});
