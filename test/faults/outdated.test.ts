import assert from 'node:assert/strict';
import { infrastructure } from '../../src/pipeline/actor.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { upsertOrders } from '../../src/store/orders.ts';
import type { Faults } from '../../src/tms/simulator/faults.ts';
import { anOrderRow, statesOf } from '../support/database.ts';
import { type KeptLog, keptLog, says } from '../support/log-lines.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

const heldUp = infrastructure(new InfrastructureError('held up by the test'));

describe('a notice that grows old while it waits in .retriable', function () {
  this.timeout(60_000);
  let world: World;
  let log: KeptLog;
  /** How far the clock of Chodang is ahead. */
  let aheadMs = 0;
  /** Delays to this date get no further than the delay step, as if a server it needs were away. */
  let heldUpDate: string | undefined;

  before(async () => {
    world = await aWorld({ stepDefaults: { maxAttempts: 1_000 } });
    log = keptLog();
    await world.start({
      log: log.log,
      now: () => new Date(Date.now() + aheadMs),
      wrap: {
        actor: (step, actor) => ({
          async run(batch) {
            const isHeldUp = ({ header }: (typeof batch)[number]) =>
              step === 'delay' && header.newShipDate === heldUpDate;
            const rest = batch.filter((entry) => !isHeldUp(entry));
            const answers = rest.length > 0 ? await actor.run(rest) : [];
            return batch.map((entry) =>
              isHeldUp(entry) ? heldUp : (answers[rest.indexOf(entry)] ?? heldUp),
            );
          },
        }),
      },
    });
  });
  after(() => world.close());
  afterEach(async () => {
    aheadMs = 0;
    heldUpDate = undefined;
    await world.simulator.faults({});
    log.lines.length = 0;
  });

  const waits = (step: string) =>
    until(() => log.said(says.waiting, step).length > 0, { what: `orders wait in ${step}.retriable` });
  const becomes = (orderId: string, status: 'shipped' | 'canceled' | 'claim') =>
    upsertOrders(world.store, [anOrderRow({ orderId, status, promisedShipDate: inDays(0), phone })]);
  const phone = '+821055556666';
  /** What reached the customer of an order, of any notice. */
  const told = async (orderId: string) =>
    (await world.simulator.deliveries()).filter(({ key }) => key.endsWith(orderId));

  const troubles: [string, Faults][] = [
    ['the gateway answers 500', { status: 500 }],
    ['the gateway can not serve its customers now', { recipients: { [phone]: 'retriable' } }],
  ];
  for (const [trouble, faults] of troubles)
    it(`before the tms step, because ${trouble}: no customer gets the outdated date`, async () => {
      await world.simulator.faults(faults);
      const orderIds = await world.orders(5, { phone });
      const [shipped = '', canceled = '', overtaken = '', complained = '', open = ''] = orderIds;
      const older = await world.post(orderIds, { days: 7 });
      await waits('tms');
      assert.deepEqual((await world.progress(older.noticeId)).counts.delayed, 5);
      await becomes(shipped, 'shipped');
      await becomes(canceled, 'canceled');
      await becomes(complained, 'claim');
      const newer = await world.post([overtaken], { days: 9 });
      await until(async () => (await statesOf(world.store, newer))[overtaken] === 'delayed', {
        what: 'the newer notice has changed the order',
      });
      await world.simulator.faults({});
      assert.deepEqual(await world.settled(older.noticeId), { notified: 1, rejected: 4 });
      assert.deepEqual(await world.settled(newer.noticeId), { notified: 1 });
      assert.deepEqual(await statesOf(world.store, older), {
        [shipped]: 'rejected ORDER_SHIPPED',
        [canceled]: 'rejected ORDER_CANCELED',
        [overtaken]: 'rejected OVERTAKEN',
        [complained]: 'rejected CLAIM_IN_PROGRESS',
        [open]: 'notified',
      });
      await world.toldOnce(older.noticeId, [open]);
      await world.toldOnce(newer.noticeId, [overtaken]);
      assert.equal((await told(overtaken)).length, 1);
    });

  it('before the delay step: it finds the newer notice there and changes nothing', async () => {
    heldUpDate = inDays(7);
    const [orderId = '', shipped = ''] = await world.orders(2);
    const older = await world.post([orderId, shipped], { days: 7 });
    await waits('delay');
    await becomes(shipped, 'shipped');
    const newer = await world.post([orderId], { days: 9 });
    assert.deepEqual(await world.settled(newer.noticeId), { notified: 1 });
    heldUpDate = undefined;
    assert.deepEqual(await world.settled(older.noticeId), { rejected: 2 });
    assert.deepEqual(await statesOf(world.store, older), {
      [orderId]: 'rejected OVERTAKEN',
      [shipped]: 'rejected ORDER_SHIPPED',
    });
    assert.equal((await told(orderId)).length, 1);
    const [row] = await world.store.query<{ date: string; count: number }>(
      'select expected_ship_date as date, delay_count as count from orders where order_id = $1',
      [orderId],
    );
    assert.deepEqual(row, { date: inDays(9), count: 1 });
  });

  it('until its new date has passed: nobody is told', async () => {
    await world.simulator.faults({ status: 500 });
    const [orderId = ''] = await world.orders(1);
    const { noticeId } = await world.post([orderId], { days: 7 });
    await waits('tms');
    aheadMs = 8 * 86_400_000;
    await world.simulator.faults({});
    assert.deepEqual(await world.settled(noticeId), { rejected: 1 });
    assert.deepEqual(await statesOf(world.store, { noticeId }), { [orderId]: 'rejected DATE_IN_PAST' });
    assert.deepEqual(await told(orderId), []);
  });
});
