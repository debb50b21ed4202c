import assert from 'node:assert/strict';
import { retryName } from '../../src/failures/retryName.ts';
import { type Failure, recordFailures } from '../../src/store/failures.ts';
import { addOperator, revokeOperator } from '../../src/store/operators.ts';
import { statesOf, storeIntake, storeOrders } from '../support/database.ts';
import { aNotice } from '../support/makers.ts';
import { type Api, startApi } from './api.ts';

interface Page {
  items: Record<string, unknown>[];
  nextCursor: string | null;
}

describe('/v1/failed', () => {
  let api: Api;
  let keys: { reader: string; operator: string };
  const notice = aNotice();
  before(async () => {
    api = await startApi();
    keys = {
      reader: await addOperator(api.store, { name: 'dashboard', role: 'reader' }, 'root'),
      operator: await addOperator(api.store, { name: 'kim', role: 'operator' }, 'root'),
    };
    await storeOrders(api.store, ['o-1', 'o-2', { orderId: 'o-3', status: 'canceled' }]);
    await storeIntake(api.store, notice, [[{ orderId: 'o-1' }, { orderId: 'o-2' }, { orderId: 'o-3' }]]);
  });
  after(() => api.close());

  async function ask(
    method: 'GET' | 'POST',
    url: string,
    { key = keys.operator, body }: { key?: string; body?: object } = {},
  ) {
    const response = await api.app.inject({
      method,
      url: `/v1/failed${url}`,
      headers: { authorization: `Bearer ${key}` },
      ...(body && { payload: body }),
    });
    return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
  }

  let made = 0;
  /** Records the failure of one order at the delay step, and gives its number and its group's. */
  async function aFailure(orderId: string, parts: Partial<Failure> = {}) {
    const header = { ...notice, detail: 'call 010-1234-5678' };
    const failure: Failure = {
      step: 'delay',
      lane: 'express',
      type: 'delay.v1',
      messageId: `m-${made++}`,
      errorClass: 'TypeError',
      errorMessage: 'no answer from +821012345678',
      errorStack: undefined,
      attempt: 5,
      failedAt: new Date(),
      headers: {},
      content: Buffer.from(JSON.stringify({ chunks: [{ header, items: [{ orderId }] }] })),
      orders: [{ noticeId: notice.noticeId, sellerId: 's-1', orderId, newShipDate: notice.newShipDate }],
      ...parts,
    };
    await recordFailures(api.store, [failure]);
    const { body } = await ask('GET', '/messages?limit=1');
    const [listed] = (body as unknown as Page).items as { failureId: string; groupId: string }[];
    return listed ?? assert.fail();
  }

  it('wants a key of its own, and at once no more one that was revoked', async () => {
    assert.equal((await ask('GET', '/groups', { key: api.keys['s-1'] })).status, 401);
    const key = await addOperator(api.store, { name: 'lee', role: 'operator' }, 'root');
    assert.equal((await ask('GET', '/groups', { key })).status, 200);
    assert.equal(await revokeOperator(api.store, 'lee', 'root'), 1);
    assert.equal((await ask('GET', '/groups', { key })).status, 401);
    assert.equal(
      (
        await api.app.inject({
          url: '/v1/delay-notices',
          headers: { authorization: `Bearer ${keys.operator}` },
        })
      ).statusCode,
      401,
    );
    const audit = await api.store.query(
      `select who, action, subject from audit order by audit_id desc limit 1`,
    );
    assert.deepEqual(audit, [{ who: 'root', action: 'operator revoked', subject: 'lee' }]);
  });

  it('lets a reader look, masked, and do nothing', async () => {
    const { failureId } = await aFailure('o-1');
    const seen = await ask('GET', `/messages/${failureId}`, { key: keys.reader });
    assert.equal(seen.status, 200);
    assert.doesNotMatch(JSON.stringify(seen.body), /5678/);
    assert.equal(seen.body['errorMessage'], 'no answer from +82…78');
    for (const [url, body] of [
      ['/retries', { failureIds: [failureId] }],
      ['/discards', { failureIds: [failureId], reason: 'x' }],
      [`/messages/${failureId}/look`, { why: 'x' }],
      [`/messages/${failureId}/edit`, { message: {}, why: 'x' }],
      ['/operations/1/cancel', { why: 'x' }],
      ['/operations/1/undo', { why: 'x' }],
    ] as const) {
      const { status, body: problem } = await ask('POST', url, { key: keys.reader, body });
      assert.deepEqual([status, problem['type']], [403, '/problems/forbidden'], url);
    }
    // A dry run changes nothing.
    const dry = await ask('POST', '/retries?dryRun=true', {
      key: keys.reader,
      body: { failureIds: [failureId] },
    });
    assert.equal(dry.status, 200);
    const operations = await ask('GET', '/operations');
    assert.deepEqual(operations.body['items'], []);
  });

  it('shows an operator all of it, and keeps that in the history', async () => {
    const { failureId } = await aFailure('o-1');
    assert.equal((await ask('POST', `/messages/${failureId}/look`, { body: {} })).status, 400);
    const { body } = await ask('POST', `/messages/${failureId}/look`, { body: { why: 'the seller asks' } });
    assert.match(JSON.stringify(body), /call 010-1234-5678/);
    const { body: history } = await ask('GET', `/operations?failureId=${failureId}`);
    const [look] = (history as unknown as Page).items;
    assert.deepEqual(
      [look?.['kind'], look?.['who'], look?.['why'], look?.['items']],
      ['look', 'kim', 'the seller asks', { done: 1 }],
    );
  });

  it('lists groups and failures page by page', async () => {
    for (const errorClass of ['A', 'B', 'C']) await aFailure('o-2', { errorClass });
    const names: unknown[] = [];
    let cursor = '';
    do {
      const { body } = await ask('GET', `/groups?limit=2${cursor}`);
      const page = body as unknown as Page;
      names.push(...page.items.map((group) => group['errorClass']));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    assert.deepEqual(names, ['C', 'B', 'A', 'TypeError']);
    const first = (await ask('GET', '/messages?limit=3')).body as unknown as Page;
    const second = (await ask('GET', `/messages?limit=3&cursor=${first.nextCursor}`)).body as unknown as Page;
    const ids = [...first.items, ...second.items].map(({ failureId }) => Number(failureId));
    assert.equal(ids.length, 5);
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => b - a),
    );
  });

  it('foresees the first thousand, and tells how many more there are', async () => {
    const { groupId } = await aFailure('o-1', { errorClass: 'Flood' });
    await api.store.query(
      `insert into failures (step, message_id, lane, error_class, error_message, attempt, failed_at, headers, body,
                             notice_ids, orders, group_id)
       select step, 'flood-' || i, lane, error_class, error_message, attempt, failed_at, headers, body, notice_ids, orders, group_id
       from failures, generate_series(1, 1006) as i where group_id = $1`,
      [groupId],
    );
    await api.store.query('update failure_groups set open = 1007, failures = 1007 where group_id = $1', [
      groupId,
    ]);
    const rows = await api.store.rows<[string]>(
      'select failure_id from failures where group_id = $1 order by failure_id',
      [groupId],
    );
    const failureIds = rows.flat();
    const [first = '', ...others] = failureIds;
    await api.store.query(`update failures set state = 'discarded' where failure_id = $1`, [first]);

    const foreseen = async (body: object) => {
      const { status, body: dry } = await ask('POST', '/retries?dryRun=true', { body });
      assert.equal(status, 200);
      const failures = dry['failures'] as { failureId: string; would: string }[];
      return {
        ids: failures.map((failure) => failure.failureId),
        first: failures[0]?.would,
        more: dry['more'],
      };
    };
    const upTo = others.at(-2) ?? '';
    assert.deepEqual(await foreseen({ groupId, upTo }), {
      ids: others.slice(0, 1_000),
      first: 'go',
      more: 5,
    });
    // Those that are not open are told first.
    assert.deepEqual(await foreseen({ failureIds }), {
      ids: failureIds.slice(0, 1_000),
      first: 'skip',
      more: 7,
    });
    assert.deepEqual(await foreseen({ failureIds: failureIds.slice(0, 3) }), {
      ids: failureIds.slice(0, 3),
      first: 'skip',
      more: 0,
    });
    await api.store.query(`delete from failures where message_id like 'flood-%' or failure_id = $1`, [first]);
    await api.store.query('delete from failure_group_notices where group_id = $1', [groupId]);
    await api.store.query('delete from failure_group_sellers where group_id = $1', [groupId]);
    await api.store.query('delete from failure_groups where group_id = $1', [groupId]);
  });

  it('foresees, retries a group as it was seen, and tells how far that is', async () => {
    const seen = await aFailure('o-3', { errorClass: 'Hail' });
    await aFailure('o-2', { errorClass: 'Hail', messageId: 'later' });
    const choice = { groupId: seen.groupId, upTo: seen.failureId };
    const { body: dry } = await ask('POST', '/retries?dryRun=true', { body: choice });
    assert.deepEqual((dry['failures'] as object[])[0], {
      failureId: seen.failureId,
      step: 'delay',
      lane: 'express',
      would: 'go',
      why: null,
      goOn: 0,
      settled: 0,
      rejected: { ORDER_CANCELED: ['o-3'] },
    });
    const { status, body } = await ask('POST', '/retries', { body: { ...choice, why: 'mended' } });
    assert.deepEqual([status, body['failures'], body['left']], [202, 1, []]);
    const operationId = body['operationId'] as string;
    const again = await ask('POST', '/retries', { body: { failureIds: [seen.failureId] } });
    assert.deepEqual(
      [again.status, again.body['detail']],
      [422, `None of them is open: ${seen.failureId} is retrying (operation ${operationId}).`],
    );
    const { body: group } = await ask('GET', `/groups/${seen.groupId}`);
    assert.deepEqual([group['state'], group['open'], group['retrying']], ['retrying', 1, 1]);
    const { body: running } = await ask('GET', `/operations/${operationId}`);
    assert.deepEqual(
      [running['state'], running['items'], running['detail']],
      ['running', { waiting: 1 }, { canary: 1, ratePerSecond: 100, stopAfter: 5, path: null, ...choice }],
    );
    const { body: canceled } = await ask('POST', `/operations/${operationId}/cancel`, {
      body: { why: 'too late' },
    });
    assert.deepEqual(
      [canceled['state'], canceled['endedBy'], canceled['endedWhy']],
      ['canceled', 'kim', 'too late'],
    );
    const { body: items } = await ask('GET', `/operations/${operationId}/messages`);
    assert.deepEqual(items['items'], [
      { failureId: seen.failureId, state: 'canceled', sentAt: null, publishedAt: null, failedAs: null },
    ]);
  });

  it('discards with a reason, and takes it back', async () => {
    const { failureId } = await aFailure('o-2', { errorClass: 'Frost' });
    assert.equal((await ask('POST', '/discards', { body: { failureIds: [failureId] } })).status, 400);
    assert.equal(
      (await ask('POST', '/discards', { body: { failureIds: [failureId], reason: ' ' } })).status,
      400,
    );
    const { body } = await ask('POST', '/discards', {
      body: { failureIds: [failureId], reason: 'a test order' },
    });
    assert.equal((await ask('GET', `/messages/${failureId}`)).body['state'], 'discarded');
    const undone = await ask('POST', `/operations/${String(body['operationId'])}/undo`, {
      body: { why: 'a mistake' },
    });
    assert.deepEqual([undone.status, undone.body['failures']], [200, 1]);
    assert.equal((await ask('GET', `/messages/${failureId}`)).body['state'], 'open');
  });

  it('edits: shows the difference first, checks, and keeps the original', async () => {
    const { failureId } = await aFailure('o-2', { errorClass: 'Snow' });
    const message = { chunks: [{ header: notice, items: [{ orderId: 'o-2', newShipDate: '2026-12-24' }] }] };
    const dry = await ask('POST', `/messages/${failureId}/edit?dryRun=true`, {
      body: { message, why: 'another day' },
    });
    assert.match(String(dry.body['diff']), /^\+ +"newShipDate": "2026-12-24"$/m);
    const wrong = { chunks: [{ header: { ...notice, sellerId: 's-2' }, items: [{ orderId: 'o-2' }] }] };
    const refused = await ask('POST', `/messages/${failureId}/edit`, { body: { message: wrong, why: 'x' } });
    assert.deepEqual([refused.status, refused.body['type']], [422, '/problems/refused']);
    assert.match(String(refused.body['detail']), /sellerId: expected "s-1"/);
    const { status } = await ask('POST', `/messages/${failureId}/edit`, {
      body: { message, why: 'another day' },
    });
    assert.equal(status, 202);
    const { body: kept } = await ask('GET', `/messages/${failureId}`);
    assert.deepEqual(
      [kept['state'], JSON.stringify(kept['body']).includes('2026-12-24')],
      ['retrying', false],
    );
  });

  it('says what is wrong with a request, and knows nothing that is not there', async () => {
    for (const [method, url, body, status] of [
      ['GET', '/groups?state=lost', undefined, 400],
      ['GET', '/groups?cursor=bm9uc2Vuc2U', undefined, 400],
      ['GET', '/groups/x', undefined, 404],
      ['GET', '/groups/999999', undefined, 404],
      ['GET', '/messages/999999', undefined, 404],
      ['GET', '/messages/1e3', undefined, 404],
      ['GET', '/operations/999999', undefined, 404],
      ['POST', '/retries', {}, 400],
      ['POST', '/retries', { groupId: '1' }, 400],
      ['POST', '/retries', { failureIds: ['1'], groupId: '1', upTo: '1' }, 400],
      ['POST', '/retries', { failureIds: [1] }, 400],
      ['POST', '/retries', { failureIds: ['1'], ratePerSecond: 0 }, 400],
      ['POST', '/retries', { failureIds: ['1'], path: 'actors' }, 400],
      ['POST', '/retries', { failureIds: ['999999'] }, 422],
      ['POST', '/retries', { groupId: '999999', upTo: '1' }, 422],
    ] as const) {
      const answer = await ask(method, url, body && { body });
      assert.equal(
        answer.status,
        status,
        `${method} ${url} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`,
      );
    }
  });

  it('closes a failure by what its retry failed with', async () => {
    const { failureId, groupId } = await aFailure('o-1', { errorClass: 'Drought' });
    const { body } = await ask('POST', '/retries', { body: { failureIds: [failureId] } });
    const again = await aFailure('o-1', {
      errorClass: 'Drought',
      retryOf: { operationId: String(body['operationId']), failureId },
      headers: { 'chodang-retry': retryName({ operationId: String(body['operationId']), failureId }) },
    });
    const { body: old } = await ask('GET', `/messages/${failureId}`);
    assert.equal(old['state'], 'failed_again');
    const { body: group } = await ask('GET', `/groups/${groupId}`);
    assert.deepEqual([group['state'], group['open'], group['sampleId']], ['reopened', 1, again.failureId]);
    assert.equal((await statesOf(api.store, notice))['o-1'], 'failed');
  });
});
