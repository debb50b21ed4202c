import assert from 'node:assert/strict';
import { failedOrdersOf } from '../../src/rules/salvage.ts';
import { beginRetry, discardFailures, endRetry, undoDiscard } from '../../src/store/failureOperations.ts';
import { removeOldFailures } from '../../src/store/failureRetention.ts';
import { type Failure, recordFailures } from '../../src/store/failures.ts';
import { markPublished, takeNext } from '../../src/store/resends.ts';
import { recordEnds } from '../../src/store/retries.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase, statesOf, storeIntake } from '../support/database.ts';
import { gateAt } from '../support/gate.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { aNotice } from '../support/makers.ts';
import { until } from '../support/wait.ts';

const by = { who: 'kim', why: 'a test' };
const notice = aNotice();
const orderIds = ['o-1', 'o-2', 'o-3'];

function aFailure(messageId: string, of: readonly string[]): Failure {
  const items = of.map((orderId) => ({ orderId }));
  const content = Buffer.from(JSON.stringify({ chunks: [{ header: notice, items }] }));
  return {
    step: 'tms',
    lane: 'bulk',
    messageId,
    errorClass: 'Error',
    errorMessage: 'no',
    errorStack: undefined,
    attempt: 1,
    failedAt: new Date(),
    headers: {},
    content,
    orders: failedOrdersOf(content),
  };
}

describe('two operations on the same failures', () => {
  let store: Store;
  let url: string;
  let drop: () => Promise<void>;
  before(async () => ({ store, url, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(async () => {
    await emptyTables(store);
    await storeIntake(store, notice, [orderIds.map((orderId) => ({ orderId }))]);
  });

  /** Records failures of one order each, all in one group, and returns their ids. */
  async function recordedNow(count: number): Promise<string[]> {
    const failures = orderIds.slice(0, count).map((orderId, at) => aFailure(`n-${at}`, [orderId]));
    await recordFailures(store, failures);
    return (await store.rows<[string]>('select failure_id from failures order by 1')).flat();
  }
  const begun = async (failureIds: string[], path: 'legacy' | null = null) => {
    const options = { canary: 0, ratePerSecond: null, stopAfter: 5, path };
    return (await beginRetry(store, { by, choice: { failureIds }, options })).operationId;
  };
  const statesNow = async () =>
    (await store.rows<[string]>('select state from failures order by failure_id')).flat();
  /** Waits until somebody stands before a lock. */
  const somebodyWaits = () =>
    until(async () => (await store.query(`select from pg_locks where not granted`)).length > 0, {
      what: 'somebody waits',
    });

  it('a retry leaves an order alone that fails anew while it is taken', async () => {
    const [failureId = ''] = await recordedNow(1);
    const operationId = await begun([failureId]);
    // It had no row before, so it loses the one that says that it failed; then somebody records that it failed again.
    await store.query(`
      create function fails_again() returns trigger language plpgsql as $$ begin insert into ledger select old.*; return null; end $$;
      create trigger fails_again after delete on ledger for each row execute function fails_again()`);
    try {
      const { resends } = await takeNext(store, operationId, 1);
      assert.deepEqual(
        resends.map((each) => each.failureId),
        [failureId],
      );
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'failed' });
    } finally {
      await store.query('drop function fails_again cascade');
    }
  });

  it('a cancel gives back only what is still unsent once nobody can send any more', async () => {
    const failureIds = await recordedNow(3);
    const operationId = await begun(failureIds);
    // It has looked what waits, and comes to the lock of the group: then two are sent.
    const holder = await store.pool.connect();
    await holder.query('begin; select from failure_groups for update');
    const canceling = endRetry(store, operationId, { state: 'canceled', who: 'lee', why: undefined });
    await somebodyWaits();
    assert.equal((await takeNext(store, operationId, 2)).taken, 2);
    await holder.query('commit');
    holder.release();
    assert.equal(await canceling, true);
    assert.deepEqual(await statesNow(), ['retrying', 'retrying', 'open']);
    assert.equal((await takeNext(store, operationId, 2)).taken, 0, 'nothing is sent of what was canceled');
    await groupsAddUp(store);
    await noneForgotten(store);
  });

  it('a retry takes what is open once it may, and says so', async () => {
    const [one = '', other = ''] = await recordedNow(2);
    const before = await begun([other]);
    // While it waits for the group, the other one is given back.
    const holder = await store.pool.connect();
    await holder.query('begin; select from failure_groups for update');
    const options = { canary: 0, ratePerSecond: null, stopAfter: 5, path: null };
    const retry = beginRetry(store, { by, choice: { failureIds: [one, other] }, options });
    await somebodyWaits();
    await holder.query(`
      update failures set state = 'open' where failure_id = ${other};
      update failure_operation_items set state = 'canceled' where operation_id = ${before};
      update failure_operations set state = 'canceled' where operation_id = ${before};
      update failure_groups set open = open + 1, retrying = retrying - 1;
      commit`);
    holder.release();
    const { failures, left } = await retry;
    assert.deepEqual({ failures, left }, { failures: 2, left: [] });
    await groupsAddUp(store);
  });

  it('two who hand over chunks of one notice at once give them different numbers', async () => {
    const [one = '', other = ''] = await recordedNow(2);
    const operations = [await begun([one], 'legacy'), await begun([other], 'legacy')];
    const gate = await gateAt(url, { table: 'intake', event: 'insert' });
    const [first, second] = operations.map((operationId) => takeNext(store, operationId, 1));
    await gate.held();
    // The other one has come as far as it can.
    await until(async () => (await store.query('select from pg_locks where not granted')).length >= 2, {
      what: 'both wait',
    });
    await gate.open();
    const handedOver = { taken: 1, resends: [] };
    assert.deepEqual(await Promise.all([first, second]), [handedOver, handedOver]);
    const rows = await store.rows(
      'select chunk_no, retry from intake where notice_id = $1 order by chunk_no',
      [notice.noticeId],
    );
    assert.deepEqual(
      rows.map(([number]) => number),
      [0, 1, 2],
    );
    await groupsAddUp(store);
  });

  it('an undo takes back its own discard, and not a later one of the same failures', async () => {
    const failureIds = await recordedNow(2);
    const discard = () => discardFailures(store, { by, choice: { failureIds } });
    const first = await discard();
    await undoDiscard(store, first.operationId, { by, withinDays: 1 });
    const second = await discard();
    await assert.rejects(
      undoDiscard(store, first.operationId, { by, withinDays: 1 }),
      /Nothing of operation \d+ is discarded still/,
    );
    assert.deepEqual(await statesNow(), ['discarded', 'discarded']);
    await groupsAddUp(store);
    await undoDiscard(store, second.operationId, { by, withinDays: 1 });
    assert.deepEqual(await statesNow(), ['open', 'open']);
    await groupsAddUp(store);
  });

  it('a group is removed while a failure of its kind comes: the failure is recorded, in a group of its own', async () => {
    const [failureId = ''] = await recordedNow(1);
    await discardFailures(store, { by, choice: { failureIds: [failureId] } });
    // The group outlives its last failure, as it does where more are removed than go in one go.
    await store.query('update failure_groups set closed_at = now()');
    await store.query(`update failures set state_at = now() - interval '40 days'`);
    assert.equal(await removeOldFailures(store, { keepDays: 30, limit: 10 }), 1);
    await store.query(`update failure_groups set closed_at = now() - interval '40 days'`);
    await store.query('truncate ledger');
    const gate = await gateAt(url, { table: 'failure_group_notices', event: 'delete' });
    const removing = removeOldFailures(store, { keepDays: 30, limit: 10 });
    await gate.held();
    const recording = recordedNow(1);
    await until(async () => (await store.query('select from pg_locks where not granted')).length >= 2, {
      what: 'it waits for the group',
    });
    await gate.open();
    assert.equal(await removing, 0);
    assert.equal((await recording).length, 1);
    assert.deepEqual(await statesNow(), ['open']);
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'failed' });
    await groupsAddUp(store);
  });
});

describe('operations on a group of more failures than one statement moves', function () {
  this.timeout(60_000);
  const many = 10_001;
  let store: Store;
  let drop: () => Promise<void>;
  let groupId: string;
  let upTo: string;
  before(async () => {
    ({ store, drop } = await migratedDatabase({ poolSize: 1 }));
    await recordFailures(store, [aFailure('m-0', [])]);
    [[groupId = '', upTo = ''] = []] = await store.rows<[string, string]>(`
      with copied as (
        insert into failures (step, message_id, lane, error_class, error_message, attempt, failed_at, headers, body,
                              notice_ids, orders, group_id)
        select step, 'm-' || i, lane, error_class, error_message, attempt, failed_at, headers, body, notice_ids, orders, group_id
        from failures, generate_series(1, ${many}) as i returning failure_id
      )
      update failure_groups set open = ${many + 1}, failures = ${many + 1}
      returning group_id, (select max(failure_id) - 1 from copied)`);
  });
  after(() => drop());

  const states = async () =>
    Object.fromEntries(
      await store.rows<[string, number]>('select state, count(*)::int from failures group by state'),
    );

  it('take all of them up to the last one that was seen, and no other', async () => {
    const choice = { groupId, upTo };
    const options = { canary: 1, ratePerSecond: 1, stopAfter: 5, path: null };
    const { operationId, failures } = await beginRetry(store, { by, choice, options });
    assert.equal(failures, many);
    assert.deepEqual(await states(), { open: 1, retrying: many });
    await groupsAddUp(store);

    assert.equal(await endRetry(store, operationId, { state: 'canceled', who: 'lee', why: undefined }), true);
    assert.deepEqual(await states(), { open: many + 1 });
    const discard = await discardFailures(store, { by, choice });
    assert.equal(discard.failures, many);
    assert.deepEqual(await states(), { open: 1, discarded: many });
    await groupsAddUp(store);
    assert.equal((await undoDiscard(store, discard.operationId, { by, withinDays: 1 })).failures, many);
    assert.deepEqual(await states(), { open: many + 1 });
    await groupsAddUp(store);
  });

  it('read what they are about, and not all items, though the operation began since Postgres took stock', async () => {
    const choice = { groupId, upTo };
    const discard = await discardFailures(store, { by, choice });
    await undoDiscard(store, discard.operationId, { by, withinDays: 1 });
    await store.query('analyze');
    const options = { canary: 0, ratePerSecond: null, stopAfter: 5, path: null };
    const { operationId } = await beginRetry(store, { by, choice, options });

    const { resends } = await readingFew(() => takeNext(store, operationId, 100));
    const failureIds = resends.map(({ failureId }) => failureId);
    assert.equal(failureIds.length, 100);
    await readingFew(() => markPublished(store, operationId, failureIds));
    const ends = failureIds.map((failureId) => ({ operationId, failureId, state: 'resolved' as const }));
    await readingFew(() => recordEnds(store, ends));
    await groupsAddUp(store);
  });

  /** Does something for a hundred items; fails if it reads many more. */
  async function readingFew<T>(work: () => Promise<T>): Promise<T> {
    const before = await itemsRead();
    const result = await work();
    const read = (await itemsRead()) - before;
    assert(read >= 100 && read < 2_000, `${read} items were read`);
    return result;
  }
  /** How many items the one connection of this store has read so far. */
  async function itemsRead(): Promise<number> {
    await store.query('select pg_stat_force_next_flush()');
    const [row] = await store.rows<[string]>(
      `select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'failure_operation_items'`,
    );
    return Number(row?.[0]);
  }
});
