import assert from 'node:assert/strict';
import { zookeeper } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

describe('ZooKeeper going away', function () {
  this.timeout(90_000);
  let world: World;
  before(async () => {
    world = await aWorld({ zookeeper: { connectWaitMs: 300, sessionTimeoutMs: 1_000 } });
  });
  after(() => world.close());
  afterEach(() => zookeeper().start());

  const noticeSettlesOn = async (path: string) => {
    const orderIds = await world.orders(5);
    const posted = await world.post(orderIds);
    assert.equal(posted.path, path);
    assert.deepEqual(await world.settled(posted.noticeId), { notified: 5 });
    await world.toldOnce(posted.noticeId, orderIds);
  };
  const pathIs = (path: string) =>
    until(async () => (await world.post(await world.orders(1))).path === path, {
      what: `notices take the path ${path}`,
      timeoutMs: 20_000,
    });

  it('never stops a notice: at start the fallback holds, later the last known value', async () => {
    await zookeeper().stop();
    await world.start();
    await noticeSettlesOn('actors'); // the fallback

    await zookeeper().start();
    await flip(world.zookeeper, 'off');
    await pathIs('legacy');
    await zookeeper().kill();
    await noticeSettlesOn('legacy'); // the last known value
    const ready = await world.ask('GET', '/health/ready');
    assert.equal(ready.status, 200, 'notices do not need ZooKeeper');

    await zookeeper().start();
    await flip(world.zookeeper, 'on');
    await pathIs('actors');
    await noticeSettlesOn('actors');
  });
});
