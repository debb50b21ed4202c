import assert from 'node:assert/strict';
import { aWorld, type World } from '../support/world.ts';

describe('a process that is killed', function () {
  this.timeout(90_000);
  let world: World;
  afterEach(() => world.close());

  const exactlyOnce = async (noticeId: string, orderIds: readonly string[]) => {
    const times = await world.deliveries(noticeId);
    assert.deepEqual([...times.keys()].toSorted(), orderIds.toSorted());
    assert.deepEqual([...new Set(times.values())], [1]);
  };

  it('after it accepted a notice, before it published any of it: the sweep does', async () => {
    world = await aWorld({ intake: { sweepMs: 500, sweepOlderThanMs: 0 } });
    const { gone } = await world.spawn('before the publish of an accepted notice');
    const orderIds = await world.orders(1_200);
    // It may die before its 202 is on the wire, but not before the commit.
    await world.post(orderIds).catch(() => undefined);
    assert.equal((await gone).signal, 'SIGKILL');
    const [{ noticeId } = { noticeId: '' }] = await world.store.query<{ noticeId: string }>(
      'select notice_id as "noticeId" from notices',
    );
    await world.start();
    assert.deepEqual(await world.settled(noticeId), { notified: 1_200 });
    await exactlyOnce(noticeId, orderIds);
  });

  for (const point of [
    'between commit and publish',
    'between publish and ack',
    'between answer and ledger',
  ] as const)
    it(`${point}: every customer is told all the same, exactly once`, async () => {
      world = await aWorld();
      const { gone } = await world.spawn(point);
      const orderIds = await world.orders(1_200);
      const { noticeId } = await world.post(orderIds);
      assert.equal((await gone).signal, 'SIGKILL');
      await world.start();
      assert.deepEqual(await world.settled(noticeId), { notified: 1_200 });
      await exactlyOnce(noticeId, orderIds);
    });

  it('between answer and ledger, with a gateway that knows no keys: nobody is told twice, and the doubt is shown', async () => {
    world = await aWorld({ tms: { idempotentForMs: 0, timeoutMs: 500 } });
    await world.simulator.faults({ idempotent: false });
    const { gone } = await world.spawn('between answer and ledger');
    const orderIds = await world.orders(300);
    const { noticeId } = await world.post(orderIds);
    assert.equal((await gone).signal, 'SIGKILL');
    await world.start();
    const counts = await world.settled(noticeId);
    assert.equal((counts['notified'] ?? 0) + (counts['unconfirmed'] ?? 0), 300);
    assert(
      (counts['unconfirmed'] ?? 0) > 0,
      'what was sent when the process died is not known to have arrived',
    );
    const times = await world.deliveries(noticeId);
    assert.deepEqual([...new Set(times.values())], [1]);
    assert.equal(times.size, 300);
  });

  it('every time by the same message: that one fails as KilledProcess, all others settle', async () => {
    world = await aWorld({ pipeline: { maxRedeliveries: 4 } });
    const orderIds = await world.orders(20);
    const [poison = '', ...rest] = orderIds;
    let { gone } = await world.spawn(`whenever it sees ${poison}`);
    const poisoned = await world.post([poison]);
    const others = [];
    for (const orderId of rest) {
      const { noticeId } = await world.post([orderId]).catch(() => ({ noticeId: '' }));
      if (noticeId) others.push(noticeId);
    }
    let deaths = 0;
    for (;;) {
      const alive = await Promise.race([gone.then(() => false), failedAlready(poisoned.noticeId)]);
      if (alive) break;
      deaths += 1;
      assert(deaths <= 10, 'the message goes on killing');
      ({ gone } = await world.spawn(`whenever it sees ${poison}`));
    }
    assert.deepEqual(await world.settled(poisoned.noticeId), { failed: 1 });
    for (const noticeId of others) assert.deepEqual(await world.settled(noticeId), { notified: 1 });
    assert(deaths >= 4, `it was given up after ${deaths} deaths`);
    const [failure] = await world.store.query<{ error_class: string; step: string }>(
      'select error_class, step from failures',
    );
    assert.deepEqual(failure, { error_class: 'KilledProcess', step: 'validation' });

    async function failedAlready(noticeId: string): Promise<boolean> {
      for (;;) {
        const [row] = await world.store.query(
          `select 1 from ledger where notice_id = $1 and state = 'failed'`,
          [noticeId],
        );
        if (row) return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  });

  it('by SIGTERM in the middle: it settles what it holds within shutdownMs, and the next one does the rest', async () => {
    world = await aWorld();
    await world.simulator.faults({ latencyMs: 300 });
    const { gone, kill } = await world.spawn(undefined);
    const orderIds = await world.orders(3_000);
    const { noticeId } = await world.post(orderIds);
    kill('SIGTERM');
    assert.deepEqual(await gone, { code: 0, signal: null });
    await world.start();
    assert.deepEqual(await world.settled(noticeId), { notified: 3_000 });
    await exactlyOnce(noticeId, orderIds);
  });
});
