import assert from 'node:assert/strict';
import { type FailureGroup, listFailureGroups } from '../../src/store/failureGroups.ts';
import { beginRetry, discardFailures } from '../../src/store/failureOperations.ts';
import { type Failure, listFailures, recordFailures } from '../../src/store/failures.ts';
import { recordEnds } from '../../src/store/retries.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

const [notice, other] = [aNoticeId(), aNoticeId()];
const order = (orderId: string, noticeId = notice, sellerId = 's-1') => ({
  noticeId,
  sellerId,
  orderId,
  newShipDate: '2026-11-29',
});
const at = (minute: number) => new Date(Date.UTC(2026, 10, 22, 3, minute));
let number = 0;
const aFailure = (parts: Partial<Failure> = {}): Failure => ({
  step: 'delay',
  lane: 'bulk',
  messageId: `m-${(number += 1)}`,
  errorClass: 'TypeError',
  errorMessage: 'order o-1 has no date',
  errorStack: undefined,
  attempt: 3,
  failedAt: at(0),
  headers: {},
  content: Buffer.from('{}'),
  orders: [],
  ...parts,
});

describe('groups of failures', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const groups = () => listFailureGroups(store);
  const only = async (): Promise<FailureGroup> => {
    const [group, ...others] = await groups();
    assert.ok(group);
    assert.deepEqual(others, []);
    return group;
  };

  it('gather what failed alike, and tell how much, since when, and whom it concerns', async () => {
    await recordFailures(store, [
      aFailure({ orders: [order('o-1'), order('o-2')], failedAt: at(5) }),
      aFailure({ errorMessage: 'order o-77 has no date', orders: [order('o-77', other)], failedAt: at(2) }),
    ]);
    await recordFailures(store, [
      aFailure({ orders: [order('o-3', other, 's-2'), order('o-3', notice)], failedAt: at(9) }),
      aFailure({ step: 'tms', orders: [order('o-4')], failedAt: at(7) }),
    ]);
    const [delay, tms, ...more] = await groups();
    assert.deepEqual(more, []);
    assert.equal(tms?.step, 'tms');
    const { groupId, fingerprint, sampleId, cursor, ...rest } = delay!;
    assert.deepEqual(rest, {
      step: 'delay',
      errorClass: 'TypeError',
      frame: null,
      message: 'order # has no date',
      state: 'open',
      failures: 3,
      open: 3,
      retrying: 0,
      orders: 5,
      notices: 2,
      sellers: 2,
      firstFailedAt: at(2),
      lastFailedAt: at(9),
    });
    assert.equal(cursor, `2026-11-22T03:09:00.000000Z/${groupId}`);
    assert.match(fingerprint, /^[0-9a-f]{16}$/u);
    const listed = await listFailures(store, { groupId });
    assert.equal(listed.length, 3);
    assert.equal(listed[0]?.failureId, sampleId);
    assert.deepEqual(listed[0]?.sellerIds, ['s-2', 's-1']);
  });

  it('count a failure once, however often it is recorded', async () => {
    const failure = aFailure({ orders: [order('o-1')] });
    await recordFailures(store, [failure, failure]);
    await recordFailures(store, [failure, { ...failure, errorMessage: 'quite another error' }]);
    const { failures, orders, notices, sellers } = await only();
    assert.deepEqual([failures, orders, notices, sellers], [1, 1, 1, 1]);
  });

  const by = { who: 'kim', why: 'a test' };
  const closings = {
    async resolved(failureIds: string[]) {
      const options = { canary: 0, ratePerSecond: null, stopAfter: 1, path: null };
      const { operationId } = await beginRetry(store, { by, choice: { failureIds }, options });
      await recordEnds(
        store,
        failureIds.map((failureId) => ({ operationId, failureId, state: 'resolved' })),
      );
    },
    discarded: (failureIds: string[]) => discardFailures(store, { by, choice: { failureIds } }),
  };
  for (const state of ['resolved', 'discarded'] as const)
    it(`are reopened when a failure comes after they were ${state}`, async () => {
      const failure = aFailure();
      await recordFailures(store, [failure]);
      await closings[state]((await listFailures(store)).map(({ failureId }) => failureId));
      assert.equal((await only()).state, state);
      await recordFailures(store, [failure]);
      assert.equal((await only()).state, state, 'the same one again is nothing new');
      await recordFailures(store, [aFailure()]);
      assert.equal((await only()).state, 'reopened');
    });

  it('stay right while several processes record at once', async () => {
    const batch = (from: number) =>
      Array.from({ length: 40 }, (_, index) =>
        aFailure({
          // In another order each time: whoever locked in the order of coming would wait for the other for ever.
          errorClass: `Error${String.fromCharCode(65 + ((index + from) % 8))}`,
          orders: [order(`o-${from}-${index}`, index % 2 ? notice : other, `s-${index % 5}`)],
        }),
      );
    await Promise.all(Array.from({ length: 8 }, (_, from) => recordFailures(store, batch(from))));
    const all = await groups();
    assert.equal(all.length, 8);
    for (const { failures, orders, notices, sellers } of all)
      assert.deepEqual([failures, orders], [40, 40], `${notices} ${sellers}`);
    const counted = await store.rows(
      `select group_id, count(*)::int, count(distinct n)::int, count(distinct s)::int
       from failures, unnest(notice_ids) as n, unnest(seller_ids) as s group by 1 order by 1`,
    );
    assert.deepEqual(
      all
        .map(({ groupId, failures, notices, sellers }) => [groupId, failures, notices, sellers])
        .toSorted(([a], [b]) => Number(a) - Number(b)),
      counted,
    );
  });

  it('are listed page by page, those that failed last first', async () => {
    const classes = ['A', 'B', 'C', 'D', 'E'];
    await recordFailures(
      store,
      classes.map((name, index) => aFailure({ errorClass: name, failedAt: at(index < 2 ? 1 : index) })),
    );
    const names: string[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await listFailureGroups(store, { limit: 2, after });
      names.push(...page.map(({ errorClass }) => errorClass));
      after = page.at(-1)?.cursor;
      if (!after) break;
    }
    assert.deepEqual(names.slice(0, 3), ['E', 'D', 'C']);
    assert.deepEqual(names.slice(3).toSorted(), ['A', 'B']);
  });
});
