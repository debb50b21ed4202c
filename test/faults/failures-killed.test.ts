import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { exchanges, failedQueueOf } from '../../src/pipeline/topology.ts';
import { listFailures } from '../../src/store/failures.ts';
import { statesOf, storeIntake } from '../support/database.ts';
import { depthOf } from '../support/depth.ts';
import { gateAt } from '../support/gate.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { aNotice } from '../support/makers.ts';
import { publishRaw } from '../support/publish.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

const count = 8;

describe('the failures actor, killed in the middle of a batch', function () {
  this.timeout(90_000);
  let world: World;
  beforeEach(async () => {
    world = await aWorld();
  });
  afterEach(() => world.close());

  /** Puts messages of two orders each among the failed ones of tms. */
  async function failedMessages() {
    const header = aNotice({ newShipDate: inDays(7) });
    const orderIds = Array.from({ length: 2 * count }, (_, at) => `o-${at}`);
    await storeIntake(world.store, header, [orderIds.map((orderId) => ({ orderId }))]);
    await world.start({ parts: ['tms'] }); // declares the queues
    for (let at = 0; at < count; at += 1)
      await publishRaw(world.vhost.url, {
        exchange: exchanges.failed,
        routingKey: 'tms.bulk',
        type: 'tms.v1',
        messageId: uuidv7(),
        content: Buffer.from(
          JSON.stringify({
            chunks: [{ header, items: orderIds.slice(2 * at, 2 * at + 2).map((orderId) => ({ orderId })) }],
          }),
        ),
      });
    return { noticeId: header.noticeId, orderIds };
  }

  /** Starts the failures actor once more, lets it do all there is to do, and looks. */
  async function recordedOnce({ noticeId, orderIds }: { noticeId: string; orderIds: string[] }) {
    const actor = await world.start({ parts: ['failures'] });
    await until(async () => (await listFailures(world.store)).length >= count, { what: 'all are recorded' });
    // They may have been before: then the actor has yet to take the messages once more.
    const depth = () => depthOf(world.vhost.url, failedQueueOf('tms'));
    await until(async () => (await depth()) === 0, { what: 'all are taken' });
    await actor.stop();
    assert.equal(await depth(), 0);
    assert.equal((await listFailures(world.store)).length, count);
    assert.deepEqual(
      await statesOf(world.store, { noticeId }),
      Object.fromEntries(orderIds.toSorted().map((id) => [id, 'failed'])),
    );
    const groups = await world.store.rows(
      'select failures::int, orders::int, notices::int, sellers::int, open::int from failure_groups',
    );
    assert.deepEqual(groups, [[count, 2 * count, 1, 1, count]]);
    const alerts = await world.store.rows('select kind, count(*)::int from alerts group by 1');
    assert.deepEqual(alerts, [['group new', 1]]);
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
  }

  const points = [
    { table: 'failures', event: 'insert' },
    { table: 'failure_groups', event: 'update' },
    { table: 'ledger', event: 'insert' },
  ];
  for (const { table, event } of points)
    it(`before the commit, at the ${event} on ${table}: nothing is half there, and all is recorded after that`, async () => {
      const messages = await failedMessages();
      const gate = await gateAt(world.env.CHODANG_POSTGRES_URL, { table, event });
      const { gone, kill } = await world.spawn(undefined, ['failures']);
      await gate.held();
      kill('SIGKILL');
      await gone;
      await gate.open();
      assert.equal((await listFailures(world.store)).length, 0);
      await groupsAddUp(world.store);
      await recordedOnce(messages);
    });

  it('during the commit: it took place, and the same messages again change nothing', async () => {
    const messages = await failedMessages();
    const gate = await gateAt(world.env.CHODANG_POSTGRES_URL, {
      table: 'failures',
      event: 'insert',
      deferred: true,
    });
    const { gone, kill } = await world.spawn(undefined, ['failures']);
    await gate.held();
    kill('SIGKILL');
    await gone;
    await gate.open();
    assert.notEqual((await listFailures(world.store)).length, 0);
    await recordedOnce(messages);
  });

  it('between the commit and the acks, over and over: each failure is there once', async () => {
    const messages = await failedMessages();
    for (let death = 0; death < 2; death += 1) {
      const { gone } = await world.spawn('between record and ack', ['failures']);
      assert.equal((await gone).signal, 'SIGKILL');
    }
    await recordedOnce(messages);
  });

  it('as does a step that dies after it gave a message up, before its ack: the failure is there once', async () => {
    const { gone } = await world.spawn('between the publish of a failure and the ack', ['validation']);
    await publishRaw(world.vhost.url, {
      exchange: exchanges.steps,
      routingKey: 'validation.bulk',
      type: 'validation.v1',
      messageId: uuidv7(),
      content: Buffer.from('no JSON'),
    });
    assert.equal((await gone).signal, 'SIGKILL');
    const actor = await world.start({ parts: ['validation', 'failures'] });
    await until(async () => (await listFailures(world.store)).length > 0, { what: 'it is recorded' });
    const waiting = async () => {
      let sum = 0;
      for (const queue of ['validation.bulk', 'validation.failed'])
        sum += await depthOf(world.vhost.url, queue);
      return sum;
    };
    await until(async () => (await waiting()) === 0, { what: 'nothing waits any more' });
    await actor.stop();
    assert.equal(await waiting(), 0);
    assert.equal((await listFailures(world.store)).length, 1);
    await groupsAddUp(world.store);
  });
});
