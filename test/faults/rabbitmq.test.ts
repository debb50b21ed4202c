import assert from 'node:assert/strict';
import { listFailures } from '../../src/store/failures.ts';
import { rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

describe('RabbitMQ going away', function () {
  this.timeout(120_000);
  let world: World;
  before(async () => {
    world = await aWorld({ tms: { maxRecipients: 100, parallel: 1 }, http: { retryAfterSeconds: 7 } });
    await world.start();
  });
  after(() => world.close());
  afterEach(() => rabbitmq().start());

  /** Tries until a notice is taken, as a seller would after a 503. */
  const postUntilTaken = (orderIds: string[]) =>
    until(() => world.post(orderIds), { what: 'a notice is taken again', timeoutMs: 30_000 });
  const noticesStored = async () =>
    (await world.store.query<{ count: number }>('select count(*)::int as count from notices'))[0]?.count;

  it('restarted in the middle of a notice: everything settles, nothing fails, nobody is told twice', async () => {
    await world.simulator.faults({ latencyMs: 100 });
    const orderIds = await world.orders(3_000);
    const { noticeId } = await world.post(orderIds);
    await until(async () => (await world.simulator.stats()).delivered > 0, {
      what: 'the first customers are told',
    });
    await rabbitmq().restart();
    assert.deepEqual(await world.settled(noticeId, 60_000), { notified: 3_000 });
    await world.toldOnce(noticeId, orderIds);
    assert.deepEqual(await listFailures(world.store), []);
    await world.simulator.faults({});
  });

  it('for a while: the actors path says so before it stores anything, the legacy path goes on without it', async () => {
    await until(() => world.ask('GET', '/health/ready').then(({ ok }) => ok), { what: 'all is well' });
    const orderIds = await world.orders(40);
    const before = await noticesStored();
    await rabbitmq().stop();

    const body = { reason: 'WEATHER', newShipDate: inDays(7), orderIds };
    const refused = await world.ask('POST', '/v1/delay-notices', body);
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '7');
    const { type } = (await refused.json()) as { type: string };
    assert.equal(type, '/problems/unavailable');
    assert.equal(await noticesStored(), before, 'nothing was stored');

    await flip(world.zookeeper, 'off');
    const old = await until(() => world.post(orderIds), { what: 'the switch has reached the API' });
    assert.equal(old.path, 'legacy');
    assert.deepEqual(await world.settled(old.noticeId), { notified: 40 });
    await world.toldOnce(old.noticeId, orderIds);

    await flip(world.zookeeper, 'on');
    const more = await world.orders(150);
    await until(
      () =>
        world.post(more).then(
          () => false,
          (error: Error) => error.message.includes('503'),
        ),
      {
        what: 'the switch is back on',
      },
    );
    await rabbitmq().start();
    const { noticeId, path } = await postUntilTaken(more);
    assert.equal(path, 'actors');
    assert.deepEqual(await world.settled(noticeId), { notified: 150 });
    await world.toldOnce(noticeId, more);
  });
});
