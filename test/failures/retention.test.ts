import assert from 'node:assert/strict';
import { removeOld } from '../../src/failures/retention.ts';
import { listFailureGroups } from '../../src/store/failureGroups.ts';
import { listItems, listOperations } from '../../src/store/failureHistory.ts';
import { discardFailures } from '../../src/store/failureOperations.ts';
import { type Failure, listFailures, recordFailures } from '../../src/store/failures.ts';
import { withLock } from '../../src/store/lock.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

describe('removing old failures', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  let made = 0;
  const someFailures = (count: number, errorClass: string): Promise<void> =>
    recordFailures(
      store,
      Array.from(
        { length: count },
        (): Failure => ({
          step: 'delay',
          lane: 'bulk',
          messageId: `m-${made++}`,
          errorClass,
          errorMessage: 'x',
          errorStack: undefined,
          attempt: 1,
          failedAt: new Date(),
          headers: {},
          content: Buffer.from('{}'),
          orders: [{ noticeId: aNoticeId(), sellerId: 's-1', orderId: 'o-1', newShipDate: '2026-12-01' }],
        }),
      ),
    );
  const ids = async (errorClass: string) =>
    (await listFailures(store))
      .filter((each) => each.errorClass === errorClass)
      .map(({ failureId }) => failureId);
  const discard = (failureIds: string[]) =>
    discardFailures(store, { by: { who: 'kim', why: 'a test' }, choice: { failureIds } });
  const letPass = async (days: number) => {
    await store.query(`update failures set state_at = state_at - make_interval(days => $1)`, [days]);
    await store.query(`update failure_groups set closed_at = closed_at - make_interval(days => $1)`, [days]);
  };
  const removed = () => removeOld({ store, keepDays: 30, batchSize: 2 });

  it('takes those of which nothing is to be decided, batch after batch, and keeps open ones and the history', async () => {
    await someFailures(5, 'Hail');
    await someFailures(2, 'Frost');
    const { operationId } = await discard(await ids('Hail'));
    await letPass(31);
    assert.equal(await removed(), 5);
    assert.deepEqual([await ids('Hail'), (await ids('Frost')).length], [[], 2]);
    assert.deepEqual(
      (await listFailureGroups(store)).map(({ errorClass }) => errorClass),
      ['Frost'],
    );
    for (const table of ['failure_group_notices', 'failure_group_sellers'])
      assert.equal(
        (
          await store.query(
            `select from ${table} where group_id not in (select group_id from failure_groups)`,
          )
        ).length,
        0,
      );
    assert.equal((await listItems(store, operationId)).length, 5);
    assert.deepEqual(
      (await listOperations(store)).map(({ who, why }) => [who, why]),
      [['kim', 'a test']],
    );
  });

  it('leaves what is not old enough, and the group while it has any', async () => {
    await someFailures(3, 'Hail');
    const [first = '', ...others] = await ids('Hail');
    await discard([first]);
    await letPass(29);
    assert.equal(await removed(), 0);
    await letPass(2);
    assert.equal(await removed(), 1);
    const [group] = await listFailureGroups(store);
    assert.deepEqual([group?.state, group?.open, group?.failures], ['open', 2, 3]);
    await discard(others);
    await letPass(10);
    assert.equal(await removed(), 0);
    assert.equal((await listFailureGroups(store))[0]?.state, 'discarded');
  });

  it('is done by one process at a time', async () => {
    await someFailures(1, 'Hail');
    await discard(await ids('Hail'));
    await letPass(31);
    await withLock(store, 'failures retention', async () => {
      assert.equal(await removed(), 0);
    });
    assert.equal(await removed(), 1);
  });
});
