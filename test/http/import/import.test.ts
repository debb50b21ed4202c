import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { type Api, countOf, get, startApi } from '../api.ts';
import { type AcceptedFile, aCsv, csvHeader, ids, upload } from './uploads.ts';

interface Stored {
  header: Record<string, unknown>;
  items: { orderId: string; newShipDate?: string; reason?: string; detail?: string }[];
}

describe('POST /v1/delay-notices/import', () => {
  let api: Api;
  let to: { address: string; apiKey: string };
  before(async () => {
    api = await startApi({ importMaxOrders: 1_000_000, importLimit: 100_000 });
    to = { address: await api.app.listen({ port: 0, host: '127.0.0.1' }), apiKey: api.keys['s-1'] };
  });
  after(() => api.close());
  beforeEach(async () => {
    await api.store.query('truncate intake, notices, imports, import_rejects');
    api.path = 'actors';
    api.publisher.published.length = 0;
  });

  const ndjson = { headers: { 'content-type': 'application/x-ndjson' } };
  const take = async (...file: Parameters<typeof upload> extends [unknown, ...infer Rest] ? Rest : never) => {
    const { status, body } = await upload(to, ...file);
    assert.equal(status, 202, JSON.stringify(body));
    return body as unknown as AcceptedFile;
  };
  const stored = async (noticeId: string): Promise<Stored[]> =>
    (
      await api.store.query<{ chunk: string }>(
        'select chunk from intake where notice_id = $1 order by chunk_no',
        [noticeId],
      )
    ).map(({ chunk }) => JSON.parse(chunk) as Stored);
  const itemsOf = async (noticeId: string) => (await stored(noticeId)).flatMap(({ items }) => items);
  const rejectedOf = async ({ links }: AcceptedFile) => {
    const { body } = await get(api, `${links['rejectedRows']}?limit=1000`);
    return (body as { items: { line: number; orderId: string | null; expected: string; got: string }[] })
      .items;
  };

  it('takes a CSV: one notice, whose orders have what is their own and not the first row’s', async () => {
    const accepted = await take(
      `${csvHeader}o-1,2026-11-29,WEATHER,\no-2,2026-11-30,WEATHER,\no-3,2026-11-29,ETC,the truck broke down\n`,
    );
    const { noticeId } = accepted;
    assert.deepEqual(accepted, {
      noticeId,
      path: 'actors',
      orders: 3,
      duplicates: 0,
      state: 'accepted',
      links: {
        self: `/v1/delay-notices/${noticeId}`,
        orders: `/v1/delay-notices/${noticeId}/orders`,
        rejectedRows: `/v1/delay-notices/${noticeId}/rejected-rows`,
      },
    });
    assert.deepEqual(await stored(noticeId), [
      {
        header: { noticeId, sellerId: 's-1', path: 'actors', reason: 'WEATHER', newShipDate: '2026-11-29' },
        items: [
          { orderId: 'o-1' },
          { orderId: 'o-2', newShipDate: '2026-11-30' },
          { orderId: 'o-3', reason: 'ETC', detail: 'the truck broke down' },
        ],
      },
    ]);
    assert.deepEqual(
      api.publisher.published.map(({ chunkNo, lane, orders }) => [chunkNo, lane, orders]),
      [[0, 'bulk', 3]],
      'in the last lane, however small',
    );
    const [notice] = await api.store.query(
      'select lane, switch_version, received_at is not null received from notices',
    );
    assert.deepEqual(notice, { lane: 'bulk', switch_version: 7, received: true });
  });

  it('takes lines of JSON, with the names of the API or of a CSV', async () => {
    const { noticeId } = await take(
      `{"orderId":"주문-1 🌽","newShipDate":"2026-11-29","reason":"WEATHER"}\n\n` +
        `{"order_id":"o-2","new_ship_date":"2026-11-29","reason":"ETC","detail":"비가 \\"왔\\""}`,
      ndjson,
    );
    assert.deepEqual(await itemsOf(noticeId), [
      { orderId: '주문-1 🌽' },
      { orderId: 'o-2', reason: 'ETC', detail: '비가 "왔"' },
    ]);
  });

  it('reads CSV as RFC 4180 has it: byte order mark, CRLF, quotes, columns in any order, blanks around', async () => {
    const { noticeId } = await take(
      '\ufeffreason,detail,"order_id",new_ship_date\r\n' +
        'WEATHER,"rain, ""cats and dogs""",o-1,2026-11-29\r\n' +
        '"WEATHER","","o-2","2026-11-29"\r\n\r\n' +
        ' WEATHER ,,  o-3 , 2026-11-29',
    );
    assert.deepEqual(await itemsOf(noticeId), [
      { orderId: 'o-1', detail: 'rain, "cats and dogs"' },
      { orderId: 'o-2' },
      { orderId: 'o-3' },
    ]);
  });

  it('takes a CSV without the column detail', async () => {
    const { orders } = await take('order_id,new_ship_date,reason\no-1,2026-11-29,WEATHER\n');
    assert.equal(orders, 1);
  });

  it('unpacks gzip, and takes the same file for the same, packed or not', async () => {
    const packed = await take(gzipSync(aCsv(ids(700))), {
      key: 'k',
      headers: { 'content-encoding': 'gzip' },
    });
    assert.equal(packed.orders, 700);
    assert.deepEqual(await take(aCsv(ids(700)), { key: 'k' }), packed);
  });

  it('counts repeats, and tells those that disagree: the first row of an order counts', async () => {
    const accepted = await take(
      `${csvHeader}o-1,2026-11-29,WEATHER,\no-1,2026-11-29,WEATHER,\no-1,2026-11-30,WEATHER,\no-1,2026-11-29,WEATHER,rain\n`,
    );
    assert.deepEqual([accepted.orders, accepted.duplicates], [1, 1]);
    assert.deepEqual(await itemsOf(accepted.noticeId), [{ orderId: 'o-1' }]);
    assert.deepEqual(
      (await rejectedOf(accepted)).map(({ line, orderId, got }) => [line, orderId, got]),
      [4, 5].map((line) => [line, 'o-1', 'another date, reason or detail than in its first row']),
    );
  });

  const badRows: [what: string, row: string, expected: RegExp, got: RegExp][] = [
    ['an unknown reason', 'b,2026-11-29,LAZY,', /^one of PRODUCT_PREPARE, /, /^reason "LAZY"$/],
    ['no reason', 'b,2026-11-29,,', /^one of/, /^no reason$/],
    ['a date that is none', 'b,2026-02-30,WEATHER,', /^a calendar day/, /^new_ship_date "2026-02-30"$/],
    ['no date', 'b,,WEATHER,', /^a calendar day/, /^no new_ship_date$/],
    ['no id', ' ,2026-11-29,WEATHER,', /^an order id/, /^no order_id$/],
    [
      'an id that is too long',
      `${'x'.repeat(101)},2026-11-29,WEATHER,`,
      /1 to 100 characters/,
      /of 101 characters$/,
    ],
    [
      'a control character',
      '"b\u0007",2026-11-29,WEATHER,',
      /without control characters/,
      /^order_id "b\\u0007"$/,
    ],
    ['a line break', '"b","2026-11-29","WEATHER","a\nb"', /such as line breaks/, /^detail "a\\nb"$/],
    ['ETC without a detail', 'b,2026-11-29,ETC, ', /because reason is ETC$/, /^no detail$/],
    [
      'a detail that is too long',
      `b,2026-11-29,WEATHER,${'x'.repeat(301)}`,
      /at most 300/,
      /of 301 characters$/,
    ],
    ['too few columns', 'b,2026-11-29,WEATHER', /^4 columns/, /^3 columns$/],
    ['too many columns', 'b,2026-11-29,WEATHER,rain, cats', /^4 columns/, /^5 columns$/],
  ];
  for (const [what, row, expected, got] of badRows)
    it(`rejects a row with ${what}, and takes the others`, async () => {
      const accepted = await take(
        `${csvHeader}a,2026-11-29,WEATHER,\n${row}\nc,2026-11-29,WEATHER,${'ㅠ'.repeat(300)}\n`,
      );
      assert.deepEqual(
        (await itemsOf(accepted.noticeId)).map(({ orderId }) => orderId),
        ['a', 'c'],
      );
      const [rejected, ...others] = await rejectedOf(accepted);
      assert.deepEqual([rejected?.line, others], [3, []]);
      assert.match(rejected?.expected ?? '', expected);
      assert.match(rejected?.got ?? '', got);
    });

  it('rejects a row that is no UTF-8, and one with a quote that is never closed', async () => {
    const accepted = await take(
      Buffer.concat([
        Buffer.from(`${csvHeader}a,2026-11-29,WEATHER,\n`),
        Buffer.from([0xc3, 0x28]),
        Buffer.from(',2026-11-29,WEATHER,\n"c,2026-11-29,WEATHER,\nd,2026-11-29,WEATHER,\n'),
      ]),
    );
    assert.deepEqual(
      (await itemsOf(accepted.noticeId)).map(({ orderId }) => orderId),
      ['a', 'd'],
    );
    assert.deepEqual(
      (await rejectedOf(accepted)).map(({ line, expected }) => [line, expected]),
      [
        [3, 'an order id: a text of 1 to 100 characters without control characters, in UTF-8'],
        [4, 'quotes as CSV has them (RFC 4180)'],
      ],
    );
  });

  it('rejects lines that are no JSON objects, and fields that nobody knows', async () => {
    const good = (orderId: unknown) =>
      JSON.stringify({ orderId, newShipDate: '2026-11-29', reason: 'WEATHER' });
    const lines = [
      good('a'),
      'b',
      '[1]',
      'null',
      '{"orderId":"c","newShipDate":"2026-11-29","reason":"WEATHER","detial":"x"}',
      good(7),
      good('\ud800'),
      good('d'),
    ];
    const accepted = await take(lines.join('\r\n'), ndjson);
    assert.deepEqual(
      (await itemsOf(accepted.noticeId)).map(({ orderId }) => orderId),
      ['a', 'd'],
    );
    const rejected = await rejectedOf(accepted);
    assert.deepEqual(
      rejected.map(({ line }) => line),
      [2, 3, 4, 5, 6, 7],
    );
    assert.match(rejected[0]?.got ?? '', /^"b": Unexpected token/);
    assert.equal(rejected[3]?.got, 'a field "detial"');
    assert.equal(rejected[4]?.got, 'orderId 7');
    assert.equal(rejected[5]?.got, 'orderId "\\ud800"');
  });

  it('tells rejected rows by page and as CSV, and only to whom they belong', async () => {
    const bad = ids(25).map((orderId) => `${orderId},soon,WEATHER,\n`);
    const { links, noticeId } = await take(`${aCsv(['o-a'])}${bad.join('')}`);
    const address = links['rejectedRows'] ?? '';
    const lines: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { status, body } = await get(
        api,
        `${address}?limit=10${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      assert.equal(status, 200);
      const page = body as { items: { line: number }[]; nextCursor: string | null };
      lines.push(...page.items.map(({ line }) => line));
      cursor = page.nextCursor;
    }
    assert.deepEqual(
      lines,
      Array.from({ length: 25 }, (_, at) => at + 3),
    );
    const { text, headers } = await get(api, address, { headers: { accept: 'text/csv' } });
    assert.match(String(headers['content-disposition']), new RegExp(`notice-${noticeId}-rejected-rows.csv`));
    const rows = text.trim().split('\r\n');
    assert.equal(rows.length, 26);
    assert.equal(rows[0], 'line,order_id,expected,got');
    assert.match(rows[1] ?? '', /^3,o-0,"a calendar day.*","new_ship_date ""soon"""$/);
    assert.equal((await get(api, address, { seller: 's-2' })).status, 404);
    assert.equal((await get(api, `${address}?cursor=x`)).status, 400);
    assert.equal((await get(api, '/v1/delay-notices/nothing/rejected-rows')).status, 404);
  });

  it('counts each row as an order, a repeat or rejected', async () => {
    const rows = [...ids(30), ...ids(5)].map((orderId) => `${orderId},2026-11-29,WEATHER,\n`);
    const { links } = await take(`${csvHeader}${rows.join('')}x,y,z,\n`);
    const { body } = await get(api, links['self'] ?? '');
    const { orders, duplicates, rejectedRows, state } = body as Record<string, unknown>;
    assert.deepEqual([orders, duplicates, rejectedRows, state], [30, 5, 1, 'accepted']);
  });

  it('does not count rejected rows of other notices', async () => {
    const { body } = await api.app
      .inject({
        method: 'POST',
        url: '/v1/delay-notices',
        headers: { authorization: `Bearer ${to.apiKey}` },
        payload: { reason: 'WEATHER', newShipDate: '2026-11-29', orderIds: ['o-1'] },
      })
      .then(({ body }) => ({ body: JSON.parse(body) as AcceptedFile }));
    const notice = (await get(api, body.links['self'] ?? '')).body as object;
    assert.equal('rejectedRows' in notice, false);
  });

  it('keeps the trace context of the request', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const { noticeId } = await take(aCsv(['o-1']), { headers: { traceparent } });
    assert.equal((await stored(noticeId))[0]?.header['traceparent'], traceparent);
  });

  it('stores on path legacy without publishing', async () => {
    api.path = 'legacy';
    api.publisher.away = 'RabbitMQ is away';
    try {
      const { noticeId, path } = await take(aCsv(ids(3)));
      assert.equal(path, 'legacy');
      assert.equal((await stored(noticeId))[0]?.header['path'], 'legacy');
      assert.deepEqual(api.publisher.published, []);
    } finally {
      api.publisher.away = undefined;
    }
  });

  const refused: [
    what: string,
    status: number,
    type: string,
    file: string | Buffer,
    headers?: Record<string, string>,
  ][] = [
    ['that is empty', 400, 'invalid-request', ''],
    ['with names of columns, and no row', 400, 'invalid-request', 'order_id,new_ship_date,reason,detail\n\n'],
    ['without names of columns', 400, 'invalid-request', 'o-1,2026-11-29,WEATHER,\n'],
    ['that lacks a column', 400, 'invalid-request', 'order_id,reason\no-1,WEATHER\n'],
    [
      'with a column nobody knows',
      400,
      'invalid-request',
      'order_id,new_ship_date,reason,detial\no-1,2026-11-29,WEATHER,\n',
    ],
    [
      'with a column twice',
      400,
      'invalid-request',
      'order_id,order_id,new_ship_date,reason\na,a,2026-11-29,WEATHER\n',
    ],
    [
      'that is no text',
      400,
      'invalid-request',
      Buffer.from('order_id,new_ship_date,reason,detail\n', 'utf16le'),
    ],
    [
      'of which no row can be used',
      400,
      'invalid-request',
      `${csvHeader}o-1,soon,WEATHER,\no-2,later,WEATHER,\n`,
    ],
    [
      'of JSON, which is one list',
      400,
      'invalid-request',
      '[\n{"orderId":"a"}\n]\n',
      { 'content-type': 'application/x-ndjson' },
    ],
    [
      'that says it is gzip',
      400,
      'invalid-request',
      aCsv(['o-1']),
      { 'content-type': 'text/csv', 'content-encoding': 'gzip' },
    ],
    ['as application/json', 415, 'unsupported-media-type', '{}', { 'content-type': 'application/json' }],
    [
      'in another encoding',
      415,
      'unsupported-media-type',
      aCsv(['o-1']),
      { 'content-type': 'text/csv; charset=euc-kr' },
    ],
    ['packed otherwise', 415, 'unsupported-media-type', aCsv(['o-1']), { 'content-encoding': 'br' }],
    ['that is too large', 413, 'body-too-large', csvHeader + 'o-1,soon,WEATHER,\n'.repeat(6_000)],
    [
      'that is too large once it is unpacked',
      413,
      'body-too-large',
      gzipSync(csvHeader + 'o-1,soon,WEATHER,\n'.repeat(6_000)),
      { 'content-encoding': 'gzip' },
    ],
    ['with a key that is none', 400, 'invalid-request', aCsv(['o-1']), { 'idempotency-key': 'ü'.repeat(3) }],
    ['of somebody unknown', 401, 'unauthorized', aCsv(['o-1']), { authorization: 'Bearer nobody' }],
  ];
  for (const [what, status, type, file, headers = {}] of refused)
    it(`refuses a file ${what}: ${status}, and nothing is stored`, async () => {
      const answer = await upload(to, file, { headers: { ...headers } });
      assert.deepEqual([answer.status, answer.body['type']], [status, `/problems/${type}`]);
      assert.deepEqual([await countOf(api.store, 'notices'), await countOf(api.store, 'imports')], [0, 0]);
    });

  it('names what is wrong with the first rows if none can be used', async () => {
    const { body } = await upload(to, `${csvHeader}o-1,soon,WEATHER,\no-2,2026-11-29,LAZY,\n`);
    assert.deepEqual(
      (body['errors'] as { got: string }[]).map(({ got }) => got),
      ['new_ship_date "soon" in line 2', 'reason "LAZY" in line 3'],
    );
  });

  it('refuses a file whose length says that it is too large before any of it has come', async () => {
    const { statusCode } = await api.app.inject({
      method: 'POST',
      url: '/v1/delay-notices/import',
      headers: {
        authorization: `Bearer ${to.apiKey}`,
        'content-type': 'text/csv',
        'content-length': '100001',
      },
    });
    assert.equal(statusCode, 413);
  });

  it('is refused while RabbitMQ is away, before anything is stored', async () => {
    api.publisher.away = 'RabbitMQ is away';
    try {
      const { status, body } = await upload(to, aCsv(ids(3)));
      assert.deepEqual([status, body['type']], [503, '/problems/unavailable']);
      assert.equal(await countOf(api.store, 'notices'), 0);
    } finally {
      api.publisher.away = undefined;
    }
  });
});
