import assert from 'node:assert/strict';
import { listFailures } from '../../src/store/failures.ts';
import { ended, type FailedNotice, failing, itemsOf, oneByOne, retry, those } from '../support/failing.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { postgres, rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('servers that go away during a retry', function () {
  this.timeout(150_000);
  let world: World;
  before(async () => {
    world = await aWorld({ ...oneByOne, legacy: { intervalMs: 50 } });
    await world.start();
  });
  after(() => world.close());
  afterEach(async () => {
    await postgres().start();
    await rabbitmq().start();
    await world.simulator.faults({});
    await until(() => world.ask('GET', '/health/ready').then(({ ok }) => ok), {
      what: 'all is well again',
      timeoutMs: 30_000,
    });
  });

  async function allSettled(operationId: string, notices: readonly FailedNotice[]): Promise<void> {
    const operation = await ended(world, operationId, 60_000);
    assert.deepEqual([operation.state, operation.items], ['done', { resolved: notices.length }]);
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(await world.settled(noticeId), { notified: orderIds.length });
      await world.toldOnce(noticeId, orderIds);
    }
    assert.deepEqual(await listFailures(world.store, { state: 'open' }), []);
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
  }

  const resolved = (operationId: string, count: number) =>
    until(async () => ((await itemsOf(world, operationId)).resolved ?? 0) >= count, {
      what: `${count} are resolved`,
      timeoutMs: 30_000,
    });

  const ways: [string, () => Promise<void>][] = [
    ['RabbitMQ is restarted', () => rabbitmq().restart()],
    [
      'RabbitMQ is killed',
      () =>
        rabbitmq()
          .kill()
          .then(() => rabbitmq().start()),
    ],
    ['Postgres is restarted', () => postgres().restart()],
    [
      'Postgres is killed',
      () =>
        postgres()
          .kill()
          .then(() => postgres().start()),
    ],
  ];
  for (const [way, happen] of ways)
    it(`${way} half way up a ramp: it goes on where it was, nothing fails, customers are told once`, async () => {
      const notices = await failing(world, 40, { others: 1 });
      await world.simulator.faults({});
      const operationId = await retry(world, those(notices), { canary: 1, ratePerSecond: 15 });
      await resolved(operationId, 8);
      assert(((await itemsOf(world, operationId)).waiting ?? 0) > 0, 'it is half way');
      await happen();
      await allSettled(operationId, notices);
    });

  it('the gateway is away: nothing fails again, since that is nobody’s fault', async () => {
    const notices = await failing(world, 5);
    await world.simulator.faults({ status: 503 });
    const operationId = await retry(world, those(notices), { canary: 2 });
    await until(async () => (await itemsOf(world, operationId)).sent === 2, { what: 'the canary is sent' });
    const { calls } = await world.simulator.stats();
    await until(async () => (await world.simulator.stats()).calls > calls + 3, {
      what: 'it was tried again and again',
    });
    assert.deepEqual(await itemsOf(world, operationId), { sent: 2, waiting: 3 });
    await world.simulator.faults({});
    await allSettled(operationId, notices);
  });

  it('RabbitMQ is away all the time: what is handed to the legacy run settles, and soon', async () => {
    const notices = await failing(world, 6);
    await world.simulator.faults({});
    const [forActors, forLegacy] = [notices.slice(0, 3), notices.slice(3)];
    await rabbitmq().stop();
    const waiting = await retry(world, those(forActors));
    await until(async () => (await itemsOf(world, waiting)).sent === 3, { what: 'it waits for RabbitMQ' });
    const handedOver = await retry(world, those(forLegacy), { path: 'legacy', canary: 1 });
    // A few looks are all it takes; none of them may wait for RabbitMQ.
    const operation = await ended(world, handedOver, 10_000);
    await rabbitmq().start();
    assert.deepEqual([operation.state, operation.items], ['done', { resolved: 3 }]);
    for (const { noticeId, orderIds } of forLegacy) await world.toldOnce(noticeId, orderIds);
    await allSettled(waiting, forActors);
  });
});
