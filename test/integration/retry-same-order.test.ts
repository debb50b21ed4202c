import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { exchanges } from '../../src/pipeline/topology.ts';
import { findOperation, listOperations } from '../../src/store/failureHistory.ts';
import { discardFailures, endRetry, undoDiscard } from '../../src/store/failureOperations.ts';
import { findFailures, listFailures } from '../../src/store/failures.ts';
import { statesOf } from '../support/database.ts';
import { ended, failing, itemsOf, oneByOne, retry, those } from '../support/failing.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { publishRaw } from '../support/publish.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

const by = { who: 'kim', why: 'a test' };

describe('an order that is in two open failures', function () {
  this.timeout(90_000);
  let world: World;
  before(async () => {
    world = await aWorld({ ...oneByOne, legacy: { intervalMs: 20, maxAttempts: 1 } });
    await world.start();
  });
  afterEach(async () => {
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
  });
  after(() => world.close());

  /** Lets an order fail, and the same message once more, as after a crash. */
  async function twice() {
    const [notice = assert.fail()] = await failing(world, 1);
    const [failure] = await findFailures(world.store, [notice.failure.failureId]);
    await publishRaw(world.vhost.url, {
      exchange: exchanges.failed,
      routingKey: 'tms.express',
      type: 'tms.v1',
      messageId: uuidv7(),
      content: failure?.body ?? Buffer.alloc(0),
    });
    const both = await until(
      async () => {
        const all = await listFailures(world.store, { state: 'open' });
        const its = all.filter(({ noticeIds }) => noticeIds.includes(notice.noticeId));
        return its.length === 2 && its;
      },
      { what: 'it is in two failures' },
    );
    const [second = '', first = ''] = both.map(({ failureId }) => failureId);
    return { ...notice, first, second };
  }

  const itemsAfter = async (failureIds: string[], path: 'legacy' | null = null) =>
    (await ended(world, await retry(world, { failureIds }, { path }))).items;

  it('retried one after the other: told once, and the second finds nothing to do', async () => {
    const { noticeId, orderIds, first, second } = await twice();
    await world.simulator.faults({});
    assert.deepEqual(await itemsAfter([first]), { resolved: 1 });
    await world.toldOnce(noticeId, orderIds);
    assert.deepEqual(await itemsAfter([second]), { resolved: 1 });
    assert.deepEqual(await world.settled(noticeId), { notified: 1 });
    await world.toldOnce(noticeId, orderIds);
  });

  for (const [what, paths] of [
    ['by its step', [null, null]],
    ['one of them by the legacy run', [null, 'legacy']],
    ['both by the legacy run', ['legacy', 'legacy']],
  ] as const)
    it(`retried both at once, ${what}: told once`, async () => {
      const { noticeId, orderIds, first, second } = await twice();
      await world.simulator.faults({});
      const [one, other] = await Promise.all([itemsAfter([first], paths[0]), itemsAfter([second], paths[1])]);
      assert.deepEqual([one, other], [{ resolved: 1 }, { resolved: 1 }]);
      await world.toldOnce(noticeId, orderIds);
    });

  it('retried in one operation, and fails again: somebody can still retry it', async () => {
    const { noticeId, orderIds, first, second } = await twice();
    assert.deepEqual(await itemsAfter([first, second]), { failed_again: 2 });
    assert.deepEqual(await world.settled(noticeId), { failed: 1 });
    const open = await listFailures(world.store, { state: 'open' });
    const its = open.filter(({ noticeIds }) => noticeIds.includes(noticeId));
    assert(its.length > 0 && its.every(({ retryOf }) => retryOf === first || retryOf === second));
    await world.simulator.faults({});
    await itemsAfter(its.map(({ failureId }) => failureId));
    await world.toldOnce(noticeId, orderIds);
  });

  it('one discarded, the other retried; and the discard taken back', async () => {
    const { noticeId, orderIds, first, second } = await twice();
    await world.simulator.faults({});
    const { operationId } = await discardFailures(world.store, { by, choice: { failureIds: [first] } });
    assert.deepEqual(await statesOf(world.store, { noticeId }), { [orderIds[0] ?? '']: 'failed' });
    assert.deepEqual(await itemsAfter([second]), { resolved: 1 });
    assert.deepEqual(await world.settled(noticeId), { notified: 1 });
    await undoDiscard(world.store, operationId, { by, withinDays: 1 });
    assert.deepEqual(await itemsAfter([first]), { resolved: 1 });
    await world.toldOnce(noticeId, orderIds);
  });

  it('canceled while it is sent, 20 times at any moment: each failure is open or resolved, and all adds up', async () => {
    const random = randomFrom(7);
    const notices = await failing(world, 120);
    await world.simulator.faults({});
    const ids = new Set(notices.map(({ failure }) => failure.failureId));
    let between = 0;
    for (let time = 0; time < 20; time += 1) {
      const open = (await listFailures(world.store, { state: 'open', limit: 1_000 }))
        .map(({ failureId }) => failureId)
        .filter((failureId) => ids.has(failureId));
      if (open.length === 0) break;
      const operationId = await retry(world, { failureIds: open }, { ratePerSecond: 20, canary: time % 2 });
      // Not a time but a moment: after so many are through, or at once.
      const enough = Math.min(random.below(6), open.length);
      await until(async () => ((await itemsOf(world, operationId)).resolved ?? 0) >= enough, {
        what: `${enough} are resolved`,
      });
      const canceled = await Promise.all(
        ['lee', 'park'].map((who) =>
          endRetry(world.store, operationId, { state: 'canceled', who, why: undefined }),
        ),
      );
      assert(canceled.filter(Boolean).length <= 1, 'two canceled one retry');
      await groupsAddUp(world.store);
      const { items } = await ended(world, operationId);
      const { resolved = 0, canceled: left = 0 } = items;
      assert.equal(resolved + left, open.length, JSON.stringify(items));
      if (resolved > 0 && left > 0) between += 1;
      await groupsAddUp(world.store);
      const states = await world.store.rows<[string]>(
        'select distinct state from failures where failure_id = any($1)',
        [[...ids]],
      );
      assert.deepEqual(
        states.flat().filter((state) => state !== 'open' && state !== 'resolved'),
        [],
      );
    }
    assert(between >= 5, `only ${between} of them were canceled half way`);
    const rest = (await listFailures(world.store, { state: 'open', limit: 1_000 })).filter(({ failureId }) =>
      ids.has(failureId),
    );
    if (rest.length > 0) await itemsAfter(rest.map(({ failureId }) => failureId));
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
  });

  it('nobody can take out of the hand of a retry what it has: not another retry, nor a discard', async () => {
    const notices = await failing(world, 3);
    const operationId = await retry(world, those(notices), { canary: 1, ratePerSecond: 0.001 });
    await assert.rejects(retry(world, those(notices)), /None of them is open: \d+ is retrying \(operation/);
    await assert.rejects(
      discardFailures(world.store, { by, choice: those(notices) }),
      /None of them is open/,
    );
    assert.deepEqual((await ended(world, operationId)).items, { failed_again: 1, canceled: 2 });
    assert.equal((await findOperation(world.store, operationId))?.state, 'stopped');
    // What was refused has left nothing behind.
    const [last] = await listOperations(world.store, { limit: 1 });
    assert.equal(last?.operationId, operationId);
  });
});
