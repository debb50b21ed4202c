import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { exchanges } from '../../src/pipeline/topology.ts';
import type { Choice } from '../../src/store/failureChoice.ts';
import { findFailures, listFailures } from '../../src/store/failures.ts';
import { statesOf } from '../support/database.ts';
import { badPhone, ended, failing, retry, those } from '../support/failing.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { publishRaw } from '../support/publish.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

const gateways = [
  ['that knows repeated keys', { idempotentForMs: 86_400_000 }, {}],
  ['that knows none', { idempotentForMs: 0, timeoutMs: 2_000 }, { idempotent: false }],
] as const;

for (const [which, tms, faults] of gateways)
  describe(`retrying what is half done, with a gateway ${which}`, function () {
    this.timeout(90_000);
    let world: World;
    before(async () => {
      world = await aWorld({ tms, stepDefaults: { maxAttempts: 1 }, legacy: { intervalMs: 20 } });
      await world.start();
    });
    beforeEach(() => world.simulator.faults(faults));
    afterEach(async () => {
      await world.store.query('drop trigger if exists refuses on ledger');
      await groupsAddUp(world.store);
      await noneForgotten(world.store);
    });
    after(() => world.close());

    /** The open failures of a notice, once they are recorded. */
    const open = (noticeId: string): Promise<Choice> =>
      until(
        async () => {
          const all = await listFailures(world.store, { state: 'open' });
          const its = all.filter(({ noticeIds }) => noticeIds.includes(noticeId));
          return its.length > 0 && { failureIds: its.map(({ failureId }) => failureId) };
        },
        { what: `failures of notice ${noticeId} are recorded` },
      );

    /** A notice of five orders, two of which are told; and a failure with all five, as a killed process leaves it. */
    async function halfDone() {
      await world.simulator.faults({ ...faults, recipients: { [badPhone]: 'retriable' } });
      const told = await world.orders(2);
      const orderIds = [...told, ...(await world.orders(3, { phone: badPhone }))];
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { notified: 2, failed: 3 });
      const failuresOf = async () =>
        (await listFailures(world.store)).filter(({ noticeIds }) => noticeIds.includes(noticeId));
      const [part] = await until(async () => (await failuresOf()).length === 1 && (await failuresOf()), {
        what: 'three of them are recorded as one',
      });
      const [failure] = await findFailures(world.store, [part?.failureId ?? '']);
      const body = JSON.parse(failure?.body.toString() ?? '') as {
        chunks: [{ header: object; items: object[] }];
      };
      body.chunks[0].items = orderIds.map((orderId) => ({ orderId }));
      await publishRaw(world.vhost.url, {
        exchange: exchanges.failed,
        routingKey: 'tms.express',
        type: 'tms.v1',
        messageId: uuidv7(),
        content: Buffer.from(JSON.stringify(body)),
      });
      const [whole] = await until(async () => (await failuresOf()).length === 2 && (await failuresOf()), {
        what: 'all five are recorded',
      });
      assert.deepEqual([whole?.orders, part?.orders], [5, 3]);
      await world.simulator.faults(faults);
      return { noticeId, orderIds, failureIds: [whole?.failureId ?? '', part?.failureId ?? ''] };
    }

    for (const path of [null, 'legacy'] as const)
      it(`${path ? 'by the legacy run' : 'by its step'}: two of five are told already, and not again`, async () => {
        const { noticeId, orderIds, failureIds } = await halfDone();
        for (const failureId of failureIds) {
          const operation = await ended(world, await retry(world, { failureIds: [failureId] }, { path }));
          assert.deepEqual(operation.items, { resolved: 1 });
          assert.deepEqual(await world.settled(noticeId), { notified: 5 });
        }
        await world.toldOnce(noticeId, orderIds);
      });

    it('both at once, one of them by the legacy run: each customer is told once', async () => {
      const { noticeId, orderIds, failureIds } = await halfDone();
      const [whole = '', part = ''] = failureIds;
      const operations = await Promise.all([
        retry(world, { failureIds: [whole] }),
        retry(world, { failureIds: [part] }, { path: 'legacy' }),
      ]);
      for (const operationId of operations)
        assert.deepEqual((await ended(world, operationId)).items, { resolved: 1 });
      const { notified = 0, unconfirmed = 0 } = await world.settled(noticeId);
      // With a gateway that knows no keys, what both have in hand at once may be in doubt, and is never sent twice.
      assert.equal(notified + unconfirmed, 5);
      const times = await world.deliveries(noticeId);
      assert.deepEqual([...times.keys()].toSorted(), orderIds.toSorted());
      assert.deepEqual([...new Set(times.values())], [1]);
    });

    it('what the gateway took, and the ledger would not: it is not told twice', async () => {
      const [orderId = ''] = await world.orders(1);
      await world.store.query(refusing(orderId));
      const { noticeId } = await world.post([orderId]);
      assert.deepEqual(await world.settled(noticeId), { failed: 1 });
      if (tms.idempotentForMs > 0)
        assert.deepEqual((await ended(world, await retry(world, await open(noticeId)))).items, {
          failed_again: 1,
        });
      await world.store.query('drop trigger refuses on ledger');
      // Two days later.
      await world.store.query(`update ledger set sending_at = sending_at - interval '2 days'`);
      assert.deepEqual((await ended(world, await retry(world, await open(noticeId)))).items, { resolved: 1 });
      assert.deepEqual(await statesOf(world.store, { noticeId }), { [orderId]: 'unconfirmed' });
      await world.toldOnce(noticeId, [orderId]);
    });

    it('an order that was certainly not sent is told, although the ledger refused its neighbour', async () => {
      await world.simulator.faults({ ...faults, recipients: { [badPhone]: 'retriable' } });
      const [refused = ''] = await world.orders(1);
      const [unsent = ''] = await world.orders(1, { phone: badPhone });
      await world.store.query(refusing(refused));
      const { noticeId } = await world.post([refused, unsent]);
      const states = await until(
        async () => {
          const now = await statesOf(world.store, { noticeId });
          return [refused, unsent].every((id) => /failed|unconfirmed/.test(now[id] ?? '')) && now;
        },
        { what: 'both have failed, or are given up', timeoutMs: 20_000 },
      );
      assert.equal(states[unsent], 'failed', 'the gateway had said that nothing was sent');
      await world.store.query('drop trigger refuses on ledger');
      await world.simulator.faults(faults);
      await world.store.query(`update ledger set sending_at = sending_at - interval '2 days'`);
      await ended(world, await retry(world, await open(noticeId)));
      const { [unsent]: state } = await statesOf(world.store, { noticeId });
      assert.equal(state, 'notified', 'the gateway had said that nothing was sent');
    });
  });

/** Makes the ledger refuse to say that the customer of this order was told. */
const refusing = (orderId: string) => `
  create or replace function refuses() returns trigger language plpgsql as $$ begin raise 'the ledger refuses'; end $$;
  create or replace trigger refuses before update on ledger for each row
    when (new.state = 'notified' and new.order_id = '${orderId}') execute function refuses()`;

describe('retrying what failed longer ago than the gateway remembers', function () {
  this.timeout(90_000);
  let world: World;
  beforeEach(async () => {
    world = await aWorld({ stepDefaults: { maxAttempts: 1 }, legacy: { intervalMs: 20, maxAttempts: 1 } });
    await world.start({ parts: ['api', 'validation', 'delay', 'failures', 'legacy'] });
  });
  afterEach(async () => {
    await groupsAddUp(world.store);
    await world.close();
  });

  /** A notice that the gateway certainly did not take, days ago: it said so. */
  async function failedDaysAgo() {
    const [notice] = await failing(world, 1);
    await world.simulator.faults({});
    await world.store.query(`update ledger set created_at = created_at - interval '3 days'`);
    return notice ?? assert.fail();
  }

  const told = async (
    { noticeId, orderIds }: Awaited<ReturnType<typeof failedDaysAgo>>,
    operationId: string,
  ) => {
    assert.deepEqual((await ended(world, operationId)).items, { resolved: 1 });
    assert.deepEqual(await statesOf(world.store, { noticeId }), { [orderIds[0] ?? '']: 'notified' });
    await world.toldOnce(noticeId, orderIds);
  };

  it('by its step: the customer is told', async () => {
    await world.start({ parts: ['tms'] });
    const notice = await failedDaysAgo();
    await told(notice, await retry(world, those([notice])));
  });

  it('by the legacy run: the customer is told', async () => {
    await world.start({ parts: ['tms'] });
    const notice = await failedDaysAgo();
    await told(notice, await retry(world, those([notice]), { path: 'legacy' }));
  });

  it('of the legacy run: the customer is told', async () => {
    await flip(world.zookeeper, 'legacy');
    await until(async () => (await world.post(['nobody'])).path === 'legacy', { what: 'the path is legacy' });
    const notice = await failedDaysAgo();
    assert.equal(notice.failure.step, 'legacy');
    await told(notice, await retry(world, those([notice])));
  });

  it('by its step, whose process dies before it sends: the customer is told by the next one', async () => {
    const tms = await world.start({ parts: ['tms'] });
    const notice = await failedDaysAgo();
    await tms.stop();
    const { gone } = await world.spawn(`whenever it sees ${notice.orderIds[0]}`, ['tms']);
    const operationId = await retry(world, those([notice]));
    assert.equal((await gone).signal, 'SIGKILL');
    await world.start({ parts: ['tms'] });
    await told(notice, operationId);
  });
});
