import assert from 'node:assert/strict';
import { findOperation } from '../../src/store/failureHistory.ts';
import { beginRetry, endRetry } from '../../src/store/failureOperations.ts';
import { type Failure, listFailures, recordFailures } from '../../src/store/failures.ts';
import { markPublished, takeNext } from '../../src/store/resends.ts';
import { recordEnds } from '../../src/store/retries.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { groupsAddUp } from '../support/groups.ts';

describe('giving up what was sent', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const by = { who: 'kim' };
  const options = { canary: 0, ratePerSecond: null, stopAfter: 5, path: null };
  const canceled = { state: 'canceled', who: 'lee', why: 'RabbitMQ was made anew' } as const;
  const aFailure = (messageId: string): Failure => ({
    step: 'delay',
    lane: 'bulk',
    messageId,
    errorClass: 'TypeError',
    errorMessage: 'x',
    errorStack: undefined,
    attempt: 1,
    failedAt: new Date(),
    headers: {},
    content: Buffer.from('{}'),
    orders: [],
  });
  const states = async () => (await listFailures(store)).map(({ state }) => state).toSorted();

  /** Begins a retry of three failures, of which one is sent and two wait. */
  async function begun(): Promise<{ operationId: string; failureIds: string[] }> {
    await recordFailures(store, ['m-1', 'm-2', 'm-3'].map(aFailure));
    const failureIds = (await listFailures(store)).map(({ failureId }) => failureId);
    const { operationId } = await beginRetry(store, { by, choice: { failureIds }, options });
    const { resends: sent } = await takeNext(store, operationId, 1);
    await markPublished(
      store,
      operationId,
      sent.map(({ failureId }) => failureId),
    );
    return { operationId, failureIds };
  }

  it('needs to be asked for: what waits is open again, what was sent goes its way', async () => {
    const { operationId } = await begun();
    assert.equal(await endRetry(store, operationId, canceled), true);
    assert.deepEqual(await states(), ['open', 'open', 'retrying']);
    await groupsAddUp(store);
  });

  it('opens that as well, also when the retry is over, and once only', async () => {
    const { operationId, failureIds } = await begun();
    await endRetry(store, operationId, canceled);
    assert.equal(await endRetry(store, operationId, { ...canceled, sentToo: true }), true);
    assert.deepEqual(await states(), ['open', 'open', 'open']);
    assert.equal(await endRetry(store, operationId, { ...canceled, sentToo: true }), false);
    assert.deepEqual((await findOperation(store, operationId))?.items, { canceled: 3 });
    await groupsAddUp(store);

    // Should it end after all, nothing happens; and it can be retried.
    await recordEnds(
      store,
      failureIds.map((failureId) => ({ operationId, failureId, state: 'resolved' })),
    );
    assert.deepEqual(await states(), ['open', 'open', 'open']);
    await beginRetry(store, { by, choice: { failureIds }, options });
    assert.deepEqual(await states(), ['retrying', 'retrying', 'retrying']);
    await groupsAddUp(store);
  });
});
