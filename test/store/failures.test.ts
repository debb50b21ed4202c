import assert from 'node:assert/strict';
import { theseIds } from '../../src/store/failureIds.ts';
import { beginRetry } from '../../src/store/failureOperations.ts';
import { type Failure, listFailures, readFailures, recordFailures } from '../../src/store/failures.ts';
import { pageBytes } from '../../src/store/page.ts';
import { markPublished, takeNext, undecided, unpublished } from '../../src/store/resends.ts';
import type { Store } from '../../src/store/store.ts';
import { allFailures, emptyTables, migratedDatabase, readLedger, statesOf } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

const noticeId = aNoticeId();
const order = (orderId: string) => ({ noticeId, sellerId: 's-1', orderId, newShipDate: '2026-11-29' });
const aFailure = (parts: Partial<Failure> = {}): Failure => ({
  step: 'delay',
  lane: 'bulk',
  messageId: 'm-1',
  errorClass: 'TypeError',
  errorMessage: 'no',
  errorStack: undefined,
  attempt: 3,
  failedAt: new Date('2026-11-22T03:00:00Z'),
  headers: { 'chodang-attempt': 3 },
  content: Buffer.from('{}'),
  orders: [],
  ...parts,
});

describe('recording failures', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const has = (orderId: string, state: string) =>
    store.query(
      `insert into ledger (notice_id, order_id, seller_id, state, new_ship_date)
       values ($1, $2, 's-1', $3, '2026-11-29')`,
      [noticeId, orderId, state],
    );

  it('keeps what failed, byte for byte, newest first', async () => {
    const content = Buffer.from([0, 255, 128, 10]);
    await recordFailures(store, [
      aFailure(),
      aFailure({ messageId: 'm-2', content, orders: [order('o-1')] }),
    ]);
    await recordFailures(store, [aFailure({ step: 'tms', errorStack: 'at x' })]);
    const listed = await allFailures(store);
    assert.deepEqual(
      listed.map(({ step, messageId }) => `${step} ${messageId}`),
      ['tms m-1', 'delay m-2', 'delay m-1'],
    );
    const [, one] = listed;
    assert.ok(one?.body.equals(content));
    assert.deepEqual(one?.noticeIds, [noticeId]);
    assert.deepEqual(one?.headers, { 'chodang-attempt': 3 });
    assert.equal(one?.orders, 1);
    assert.equal(one?.failedAt.toISOString(), '2026-11-22T03:00:00.000Z');
    assert.deepEqual(
      (await listFailures(store, { limit: 1, before: one?.failureId ?? '' })).map(
        ({ messageId }) => messageId,
      ),
      ['m-1'],
    );
  });

  it('sets orders to failed over no row and over delayed, and never over anything else', async () => {
    const states = ['delayed', 'rejected', 'notified', 'undeliverable', 'unconfirmed'];
    for (const state of states) await has(`o-${state}`, state);
    const orders = ['o-none', ...states.map((state) => `o-${state}`)].map(order);
    await recordFailures(store, [aFailure({ orders })]);
    assert.deepEqual(await statesOf(store, { noticeId }), {
      'o-none': 'failed',
      'o-delayed': 'failed',
      'o-rejected': 'rejected',
      'o-notified': 'notified',
      'o-undeliverable': 'undeliverable',
      'o-unconfirmed': 'unconfirmed',
    });
    const ledger = await readLedger(store);
    const from = (orderId: string) => ledger.find((row) => row.orderId === orderId)?.failedFrom;
    assert.equal(from('o-none'), null);
    assert.equal(from('o-delayed'), 'delayed');
  });

  it('changes nothing when the same failure comes again, whatever a retry did since', async () => {
    await recordFailures(store, [aFailure({ orders: [order('o-1')] })]);
    await store.query("update ledger set state = 'delayed', failed_from = null");
    await recordFailures(store, [aFailure({ orders: [order('o-1')] })]);
    assert.equal((await listFailures(store)).length, 1);
    assert.deepEqual(await statesOf(store, { noticeId }), { 'o-1': 'delayed' });
  });

  it('takes two failures that name one order', async () => {
    await recordFailures(store, [
      aFailure({ orders: [order('o-1')] }),
      aFailure({ messageId: 'm-2', orders: [order('o-1')] }),
    ]);
    assert.equal((await listFailures(store)).length, 2);
    assert.equal((await readLedger(store)).length, 1);
  });

  it('keeps a failure whatever is in it: NUL, half a surrogate pair, backslashes', async () => {
    const odd = 'a\0b \ud800 \\u0000 "';
    await recordFailures(store, [
      aFailure({
        messageId: odd,
        errorMessage: odd,
        errorStack: odd,
        headers: { odd },
        orders: [order('o\0'), order('o-1')],
      }),
    ]);
    const [one] = await allFailures(store);
    assert.equal(one?.errorMessage, 'a\ufffdb \ufffd \\u0000 "');
    assert.deepEqual(await statesOf(store, { noticeId }), { 'o-1': 'failed' });
  });
});

describe('reading many failures', () => {
  let store: Store;
  let drop: () => Promise<void>;
  let ids: string[];
  before(async () => {
    ({ store, drop } = await migratedDatabase());
    const sizes = [1, ...Array.from({ length: 4 }, () => 0.4 * pageBytes), 3 * pageBytes, 1];
    for (const [at, size] of sizes.entries())
      await recordFailures(store, [aFailure({ messageId: `m-${at}`, content: Buffer.alloc(size) })]);
    ids = (await store.rows<[string]>('select failure_id from failures order by failure_id')).flat();
  });
  after(() => drop());

  const pagesOf = async (failureIds: string[]) => {
    const pages: string[][] = [];
    for await (const page of readFailures(store, theseIds(failureIds)))
      pages.push(page.map(({ failureId }) => failureId));
    return pages;
  };
  const lengths = (pages: readonly (readonly unknown[])[]) => pages.map((page) => page.length);

  it('is done in pages that hold little at once, whatever the size of their messages', async () => {
    const pages = await pagesOf([...ids, '999999999']);
    assert.deepEqual(pages.flat(), ids);
    assert.deepEqual(lengths(pages), [4, 2, 1]);
  });

  it('is done by 500 where they are small', async () => {
    await recordFailures(
      store,
      Array.from({ length: 1_200 }, (_, at) => aFailure({ messageId: `s-${at}` })),
    );
    const small = (
      await store.rows<[string]>(`select failure_id from failures where message_id like 's-%'`)
    ).flat();
    const pages = await pagesOf(small);
    assert.deepEqual(
      pages.flat().toSorted((a, b) => Number(a) - Number(b)),
      small.toSorted((a, b) => Number(a) - Number(b)),
    );
    assert(
      pages.every((page) => page.length <= 500),
      `pages of ${lengths(pages).join(', ')}`,
    );
    assert(pages.length <= 4);
  });

  it('is done so by a retry, as well when it sends them as when it looks how they ended', async () => {
    const options = { canary: 0, ratePerSecond: null, stopAfter: 5, path: null };
    const { operationId } = await beginRetry(store, {
      by: { who: 'kim', why: 'a test' },
      choice: { failureIds: ids },
      options,
    });
    const sent: string[][] = [];
    for (;;) {
      const { taken, resends } = await takeNext(store, operationId, 5);
      assert.equal(taken, resends.length);
      if (taken === 0) break;
      sent.push(resends.map(({ failureId }) => failureId));
    }
    assert.deepEqual(sent.flat(), ids);
    assert.deepEqual(lengths(sent), [4, 2, 1]);
    assert.equal(
      (await unpublished(store, operationId, 5)).length,
      4,
      'should it have died before it published them',
    );
    await markPublished(store, operationId, ids);
    const found: string[][] = [];
    for (let after = '0'; ; after = found.at(-1)?.at(-1) ?? '') {
      const page = await undecided(store, operationId, { limit: 5, after });
      if (page.length === 0) break;
      found.push(page.map(({ failureId }) => failureId));
    }
    assert.deepEqual(found, sent);
  });
});
