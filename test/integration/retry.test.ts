import assert from 'node:assert/strict';
import { type Choice } from '../../src/store/failureChoice.ts';
import { listFailureGroups } from '../../src/store/failureGroups.ts';
import { findOperation, listItems } from '../../src/store/failureHistory.ts';
import { beginRetry, endRetry, type RetryOptions } from '../../src/store/failureOperations.ts';
import { findFailures, listFailures } from '../../src/store/failures.ts';
import { statesOf } from '../support/database.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

const phone = '+821055556666';
const atOnce: RetryOptions = { canary: 0, ratePerSecond: null, stopAfter: 5, path: null };

describe('retrying failed messages', function () {
  this.timeout(120_000);
  let world: World;
  before(async () => {
    world = await aWorld({ legacy: { intervalMs: 20, maxAttempts: 2 }, stepDefaults: { maxAttempts: 2 } });
    await world.start();
  });
  afterEach(() => world.simulator.faults({}));
  after(() => world.close());

  /** Lets notices of one order each fail at the gateway; returns them and the group of their failures. */
  async function failing(count: number, others = 0) {
    await world.simulator.faults({ recipients: { [phone]: 'retriable' } });
    const notices = [];
    for (let at = 0; at < count; at += 1) {
      const orderIds = [...(await world.orders(1, { phone })), ...(await world.orders(others))];
      const { noticeId } = await world.post(orderIds);
      notices.push({ noticeId, orderIds });
      // One after the other: what fails alike at the same time would fail as one message.
      await world.settled(noticeId);
    }
    const failures = await until(
      async () => {
        const all = await listFailures(world.store, { state: 'open' });
        return all.length >= count && all;
      },
      { what: 'all are recorded' },
    );
    const groupId = failures[0]?.groupId ?? assert.fail();
    return { notices, failures, group: { groupId, upTo: failures[0]?.failureId ?? '' } };
  }

  const retry = (choice: Choice, options: Partial<RetryOptions> = {}, who = 'kim') =>
    beginRetry(world.store, { by: { who }, choice, options: { ...atOnce, ...options } });

  const ended = (operationId: string) =>
    until(
      async () => {
        const operation = await findOperation(world.store, operationId);
        return operation?.state !== 'running' && !operation?.items.sent && operation;
      },
      { what: `operation ${operationId} has ended`, timeoutMs: 30_000 },
    );

  const groupState = async (groupId: string) =>
    (await listFailureGroups(world.store)).find((each) => each.groupId === groupId)?.state;

  it('settles what failed, once, with half of a message done, and closes the group', async () => {
    const { notices, failures, group } = await failing(3, 2);
    assert.equal(failures.length, 3);
    assert.equal(await groupState(group.groupId), 'open');
    await world.simulator.faults({});
    const { operationId, failures: taken } = await retry(group);
    assert.equal(taken, 3);
    const operation = await ended(operationId);
    assert.deepEqual([operation.state, operation.items, operation.who], ['done', { resolved: 3 }, 'kim']);
    assert.equal(await groupState(group.groupId), 'resolved');
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(await world.settled(noticeId), { notified: 3 });
      await world.toldOnce(noticeId, orderIds);
    }
  });

  it('stops at a canary that fails again: the rest is open as before, and the group reopened', async () => {
    const { notices, failures, group } = await failing(4);
    const { operationId } = await retry(group, { canary: 1, ratePerSecond: 100, stopAfter: 3 });
    const operation = await ended(operationId);
    assert.equal(operation.state, 'stopped');
    assert.deepEqual(operation.items, { canceled: 3, failed_again: 1 });
    assert.match(operation.endedWhy ?? '', /canary/);
    assert.equal(await groupState(group.groupId), 'reopened');
    const items = await listItems(world.store, operationId);
    const [again] = items.filter(({ state }) => state === 'failed_again');
    assert.equal(again?.failureId, failures.at(-1)?.failureId, 'the oldest goes first');
    const [successor] = await findFailures(world.store, [again?.failedAs ?? '']);
    assert.deepEqual([successor?.state, successor?.retryOf], ['open', again?.failureId]);
    assert.equal((await listFailures(world.store, { state: 'open' })).length, 4);

    await world.simulator.faults({});
    const whole = await retry({ ...group, upTo: successor?.failureId ?? '' });
    assert.deepEqual((await ended(whole.operationId)).items, { resolved: 4 });
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
    assert.equal(await groupState(group.groupId), 'resolved');
  });

  it('takes only what was there when the operator looked', async () => {
    const { group } = await failing(2);
    const later = await failing(1);
    await world.simulator.faults({});
    assert.equal((await ended((await retry(group)).operationId)).items.resolved, 2);
    const open = await listFailures(world.store, { state: 'open' });
    assert.deepEqual(
      open.map(({ noticeIds }) => noticeIds),
      later.notices.map(({ noticeId }) => [noticeId]),
    );
    await ended((await retry({ failureIds: open.map(({ failureId }) => failureId) })).operationId);
  });

  it('of two operators who retry the same group at once, each failure has one', async () => {
    const { notices, group } = await failing(6);
    await world.simulator.faults({});
    const results = await Promise.allSettled([retry(group, {}, 'kim'), retry(group, {}, 'lee')]);
    const begun = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    assert.equal(
      begun.reduce((sum, { failures }) => sum + failures, 0),
      6,
    );
    for (const result of results)
      if (result.status === 'rejected')
        assert.match(String(result.reason), /No failure of group \d+ up to \d+ is open/);
    for (const { operationId } of begun) await ended(operationId);
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
  });

  it('hands them to the legacy run, if told so', async () => {
    const { notices, group } = await failing(2, 1);
    await world.simulator.faults({});
    const { operationId } = await retry(group, { path: 'legacy' });
    assert.deepEqual((await ended(operationId)).items, { resolved: 2 });
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(
        await statesOf(world.store, { noticeId }),
        Object.fromEntries(orderIds.map((id) => [id, 'notified'])),
      );
      await world.toldOnce(noticeId, orderIds);
      const chunks = await world.store.query(
        'select path from intake where notice_id = $1 order by chunk_no',
        [noticeId],
      );
      assert.deepEqual(chunks, [{ path: 'actors' }, { path: 'legacy' }]);
    }
  });

  it('retries what failed on the legacy path there, also when that fails again', async () => {
    await flip(world.zookeeper, 'legacy');
    await until(async () => (await world.post(['nobody'])).path === 'legacy', { what: 'the path is legacy' });
    const { notices, failures, group } = await failing(1, 1);
    assert.deepEqual(
      failures.map(({ step }) => step),
      ['legacy'],
    );
    const first = await ended((await retry(group)).operationId);
    assert.deepEqual(first.items, { failed_again: 1 });
    assert.equal(await groupState(group.groupId), 'reopened');
    await world.simulator.faults({});
    const [open] = await listFailures(world.store, { state: 'open' });
    const second = await ended((await retry({ failureIds: [open?.failureId ?? ''] })).operationId);
    assert.deepEqual(second.items, { resolved: 1 });
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
    await flip(world.zookeeper, 'actors');
  });

  it('can be canceled: what was not sent is open again', async () => {
    const { notices, group } = await failing(5);
    await world.simulator.faults({});
    const { operationId } = await retry(group, { canary: 1, ratePerSecond: 0.001 });
    await until(async () => (await findOperation(world.store, operationId))?.items.resolved === 1, {
      what: 'the canary is through',
    });
    assert.equal(
      await endRetry(world.store, operationId, { state: 'canceled', who: 'lee', why: 'enough' }),
      true,
    );
    assert.equal(
      await endRetry(world.store, operationId, { state: 'canceled', who: 'lee', why: 'enough' }),
      false,
    );
    const operation = await ended(operationId);
    const { resolved = 0, canceled = 0 } = operation.items;
    assert.deepEqual([operation.state, operation.endedBy, resolved + canceled], ['canceled', 'lee', 5]);
    assert(resolved <= 2, `${resolved} were sent`);
    await ended((await retry(group)).operationId);
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
  });
});
