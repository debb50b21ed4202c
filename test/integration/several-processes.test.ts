import assert from 'node:assert/strict';
import { topologyOf } from '../../src/config/topology.ts';
import { exchanges, queuesOf } from '../../src/pipeline/topology.ts';
import { listFailures } from '../../src/store/failures.ts';
import { publishRaw } from '../support/publish.ts';
import { queuesIn } from '../support/queues.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('Chodang in several processes', function () {
  this.timeout(90_000);
  let world: World;
  afterEach(() => world.close());

  it('whichever starts first declares all queues; together they settle a notice and record a failure', async () => {
    world = await aWorld();
    assert.deepEqual(await queuesIn(world.vhost), []);
    await world.spawn(undefined, ['tms']);
    assert.deepEqual(
      (await queuesIn(world.vhost)).map(({ name }) => name).toSorted(),
      queuesOf(topologyOf(world.config))
        .map(({ name }) => name)
        .toSorted(),
      'the process that runs one step has declared everything',
    );

    // Nobody has the steps between yet: what is accepted waits in RabbitMQ.
    await world.start({ parts: ['api'] });
    const orderIds = await world.orders(1_200);
    const { noticeId } = await world.post(orderIds);
    const message = { exchange: exchanges.steps, routingKey: 'tms.bulk', type: 'tms.v1' };
    await publishRaw(world.vhost.url, { ...message, content: Buffer.from('no JSON') });
    assert.equal((await world.progress(noticeId)).state, 'accepted');

    await Promise.all([
      world.spawn(undefined, ['validation', 'delay']),
      world.spawn(undefined, ['failures']),
    ]);
    assert.deepEqual(await world.settled(noticeId), { notified: 1_200 });
    await world.toldOnce(noticeId, orderIds);
    const [failure] = await until(
      async () => {
        const all = await listFailures(world.store);
        return all.length > 0 && all;
      },
      { what: 'the failure is recorded' },
    );
    assert.deepEqual([failure?.step, failure?.errorClass], ['tms', 'MalformedError']);
  });

  it('refuses parts that do not exist, before it does anything', async () => {
    world = await aWorld();
    await assert.rejects(
      world.start({ parts: ['api', 'tsm'] }),
      /no part tsm: expected some of api, failures, /,
    );
  });
});
