import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { reasonCodes } from '../../src/rules/notice.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { type Api, aBody, countOf, type PostArguments, post, startApi } from './api.ts';

interface Seen {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  errors?: { pointer?: string; parameter?: string; expected: string; got: string }[];
}

describe('Bad input', () => {
  let api: Api;
  before(async () => {
    api = await startApi({ bodyLimit: 2 * 1024 * 1024 });
  });
  after(() => api.close());
  afterEach('leaves nothing stored and nothing published', async () => {
    assert.equal(await countOf(api.store, 'notices'), 0);
    assert.equal(await countOf(api.store, 'intake'), 0);
    assert.deepEqual(api.publisher.published, []);
  });

  /** Posts what must be refused, and returns the problem document. */
  async function refused(status: number, type: string, ...request: PostArguments) {
    const answer = await post(api, ...request);
    const problem = answer.body as Seen;
    assert.equal(answer.status, status, answer.text);
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
    assert.equal(problem.status, status);
    assert.equal(problem.type, `/problems/${type}`);
    assert.match(problem.instance, /^urn:uuid:[\da-f-]{36}$/);
    assert.ok(problem.title.length > 0 && problem.detail.length > 0);
    return { ...problem, headers: answer.headers };
  }
  const invalid = async (...request: PostArguments) =>
    (await refused(400, 'invalid-request', ...request)).errors;

  it('names an unknown field and the known ones', async () => {
    assert.deepEqual(await invalid(aBody({ newShippingDate: '2026-12-01' })), [
      {
        pointer: '#/newShippingDate',
        expected: 'no such field, only reason, detail, newShipDate, orderIds',
        got: '"2026-12-01"',
      },
    ]);
  });

  it('refuses __proto__ like any other unknown field', async () => {
    const errors = await invalid(
      '{"reason":"WEATHER","newShipDate":"2026-11-29","orderIds":["o-1"],"__proto__":{"detail":"x"}}',
    );
    assert.equal(errors?.[0]?.pointer, '#/__proto__');
  });

  it('names each field of a wrong type', async () => {
    const errors = await invalid({ reason: 7, newShipDate: true, orderIds: 'o-1', detail: null });
    assert.deepEqual(
      errors?.map(({ pointer, got }) => [pointer, got]),
      [
        ['#/reason', '7'],
        ['#/detail', 'null'],
        ['#/newShipDate', 'true'],
        ['#/orderIds', '"o-1"'],
      ],
    );
  });

  it('names each field that is missing', async () => {
    const errors = await invalid({});
    assert.deepEqual(
      errors?.map(({ pointer, got }) => [pointer, got]),
      [
        ['#/reason', 'nothing'],
        ['#/newShipDate', 'nothing'],
        ['#/orderIds', 'nothing'],
      ],
    );
  });

  it('says what a body must be that is a list', async () => {
    assert.deepEqual(await invalid([aBody()]), [
      {
        pointer: '#',
        expected: 'a JSON object { reason, detail?, newShipDate, orderIds }',
        got: 'a list of 1',
      },
    ]);
  });

  it('refuses 50,001 orders', async () => {
    const orderIds = Array.from({ length: 50_001 }, (_, n) => `o-${n}`);
    assert.deepEqual(await invalid(aBody({ orderIds })), [
      { pointer: '#/orderIds', expected: 'a list of 1 to 50,000 order ids', got: 'a list of 50,001' },
    ]);
  });

  it('refuses an empty list', async () => {
    assert.deepEqual(await invalid(aBody({ orderIds: [] })), [
      { pointer: '#/orderIds', expected: 'a list of 1 to 50,000 order ids', got: 'an empty list' },
    ]);
  });

  it('names at most eight of many wrong orders, quickly', async () => {
    const begun = performance.now();
    const errors = await invalid(
      `{"reason":"WEATHER","newShipDate":"2026-11-29","orderIds":[${'1,'.repeat(900_000)}1]}`,
    );
    assert.equal(errors?.length, 1);
    assert.ok(performance.now() - begun < 2_000, 'took too long: a refused request must not hold up others');
    const wrong = await invalid(aBody({ orderIds: ['o-1', ...Array<number>(20_000).fill(1)] }));
    assert.equal(wrong?.length, 8);
    assert.equal(wrong[0]?.pointer, '#/orderIds/1');
  });

  for (const [what, orderId] of [
    ['an empty order id', ''],
    ['an order id of 101 characters', 'x'.repeat(101)],
    ['an order id of 101 combining marks', `e${'\u0301'.repeat(100)}`],
    ['an order id with a NUL', 'o\u00001'],
    ['an order id with a line break', 'o-1\n'],
    ['an order id with half a surrogate pair', 'o-\ud800'],
    ['null as order id', null],
  ] as const)
    it(`refuses ${what}`, async () => {
      const errors = await invalid(aBody({ orderIds: ['o-1', orderId] }));
      assert.deepEqual(
        errors?.map(({ pointer }) => pointer),
        ['#/orderIds/1'],
      );
    });

  for (const date of [
    '2026-02-30',
    '2026-13-01',
    '2025-02-29',
    '0000-01-01',
    '2026-1-1',
    '20261201',
    '2026-12-01T00:00:00Z',
    'tomorrow',
    '',
  ])
    it(`refuses the date "${date}"`, async () => {
      assert.deepEqual(await invalid(aBody({ newShipDate: date })), [
        {
          pointer: '#/newShipDate',
          expected: 'a calendar day as YYYY-MM-DD, such as 2026-12-01',
          got: JSON.stringify(date),
        },
      ]);
    });

  it('refuses an unknown reason and lists the known ones', async () => {
    assert.deepEqual(await invalid(aBody({ reason: 'weather' })), [
      { pointer: '#/reason', expected: `one of ${reasonCodes.join(', ')}`, got: '"weather"' },
    ]);
  });

  for (const detail of [undefined, '', '   '])
    it(`refuses ETC with the detail ${JSON.stringify(detail)}`, async () => {
      const errors = await invalid(aBody({ reason: 'ETC', detail }));
      assert.equal(errors?.[0]?.pointer, '#/detail');
    });

  for (const [what, detail] of [
    ['of 301 characters', '가'.repeat(301)],
    ['with a NUL', 'late\u0000'],
    ['with a line break', 'late\nbecause'],
  ] as const)
    it(`refuses a detail ${what}`, async () => {
      const errors = await invalid(aBody({ detail }));
      assert.equal(errors?.[0]?.pointer, '#/detail');
      assert.match(errors[0].expected, /at most 300 characters/);
    });

  it('refuses a body that is not JSON, and says where reading stopped', async () => {
    const { detail } = await refused(400, 'invalid-json', '{"reason": "WEATHER",}');
    assert.match(detail, /JSON.*21/);
  });

  it('refuses an empty body', async () => {
    await refused(400, 'invalid-json', '');
  });

  it('refuses JSON that is not UTF-8', async () => {
    const { detail } = await refused(
      400,
      'invalid-json',
      Buffer.from(JSON.stringify(aBody({ detail: 'caf\u00e9' })), 'latin1'),
    );
    assert.match(detail, /UTF-8/);
  });

  it('refuses a form', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const { detail } = await refused(415, 'unsupported-media-type', 'reason=WEATHER', { headers });
    assert.match(detail, /application\/json/);
  });

  it('refuses text', async () => {
    await refused(415, 'unsupported-media-type', aBody(), { headers: { 'content-type': 'text/plain' } });
  });

  it('refuses a body that is too big', async () => {
    const { detail } = await refused(413, 'body-too-large', aBody({ detail: 'x'.repeat(3_000_000) }));
    assert.match(detail, /at most 2,097,152/);
  });

  it('lets a client that sends all before it reads know that its body is too big', async () => {
    const address = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }));
    const head = `POST /v1/delay-notices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.keys['s-1']}\r\ncontent-type: application/json\r\n`;
    const mebibyte = ' '.repeat(1024 * 1024);
    const chunk = `${mebibyte.length.toString(16)}\r\n${mebibyte}\r\n`;
    for (const request of [
      `${head}content-length: ${32 * mebibyte.length}\r\n\r\n${mebibyte.repeat(32)}`,
      `${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(32)}0\r\n\r\n`,
    ]) {
      const socket = connect(Number(address.port), address.hostname);
      await new Promise<void>((resolve, reject) => {
        socket.on('error', reject);
        socket.write(request, () => resolve());
      });
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      assert.match(answer.toString(), /^HTTP\/1\.1 413 [^]*\/problems\/body-too-large/);
    }
  });

  it('refuses a request without a key', async () => {
    const { headers } = await refused(401, 'unauthorized', aBody(), {
      headers: { authorization: undefined },
    });
    assert.equal(headers['www-authenticate'], 'Bearer realm="chodang"');
  });

  it('refuses a wrong key', async () => {
    const { headers } = await refused(401, 'unauthorized', aBody(), {
      headers: { authorization: 'Bearer chd_wrong' },
    });
    assert.equal(headers['www-authenticate'], 'Bearer realm="chodang", error="invalid_token"');
  });

  it('refuses a revoked key', async () => {
    const key = await addApiKey(api.store, 's-1');
    await api.store.query(`update api_keys set revoked_at = now() where key_hash = sha256($1)`, [
      Buffer.from(key),
    ]);
    await refused(401, 'unauthorized', aBody(), { headers: { authorization: `Bearer ${key}` } });
  });

  it('refuses another way to authenticate', async () => {
    await refused(401, 'unauthorized', aBody(), { headers: { authorization: 'Basic czpw' } });
  });

  it('does not take a misspelt dry run for a real notice', async () => {
    assert.deepEqual(await invalid(aBody(), { query: '?dryrun=true' }), [
      { parameter: 'dryrun', expected: 'no such field, only dryRun', got: '"true"' },
    ]);
  });

  for (const value of ['', 'yes', 'true&dryRun=false'])
    it(`refuses ?dryRun=${value}`, async () => {
      const errors = await invalid(aBody(), { query: `?dryRun=${value}` });
      assert.deepEqual(
        errors?.map(({ parameter, expected }) => [parameter, expected]),
        [['dryRun', 'true or false']],
      );
    });

  for (const [what, key] of [
    ['with a space', 'a b'],
    ['of 256 characters', 'k'.repeat(256)],
    ['that is empty', ''],
    ['in Korean', Buffer.from('키').toString('latin1')],
  ] as const)
    it(`refuses an Idempotency-Key ${what}`, async () => {
      const errors = await invalid(aBody(), { headers: { 'idempotency-key': key } });
      assert.equal(errors?.[0]?.parameter, 'idempotency-key');
    });

  it('answers an unknown address, a wrong method and a bad percent sign with problems', async () => {
    for (const [method, url] of [
      ['GET', '/v1/notices'],
      ['DELETE', '/v1/delay-notices'],
      ['GET', '/v1/delay-notices/%zz'],
    ] as const) {
      const response = await api.app.inject({ method, url });
      assert.equal(response.statusCode, 404, url);
      assert.equal(response.json<Seen>().type, '/problems/not-found');
    }
  });

  it('explains every type of problem at its own address', async () => {
    const { type } = await refused(400, 'invalid-json', '{');
    const response = await api.app.inject(type);
    assert.equal(response.statusCode, 200);
    assert.match(response.body, /The body is not JSON \(400\)\n\nSend the body as JSON/);
  });
});
