import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { exchanges } from '../../src/pipeline/topology.ts';
import { findFailures, listFailures } from '../../src/store/failures.ts';
import { statesOf } from '../support/database.ts';
import { badPhone, ended, failing, itemsOf, oneByOne, retry, tapRetries, those } from '../support/failing.ts';
import { gateAt } from '../support/gate.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { publishRaw } from '../support/publish.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

describe('failed messages handed to the legacy run', function () {
  this.timeout(90_000);
  let world: World;
  let tap: Awaited<ReturnType<typeof tapRetries>>;
  before(async () => {
    world = await aWorld({ ...oneByOne, legacy: { intervalMs: 20, maxAttempts: 2 } });
    await world.start({ parts: ['api', 'validation', 'delay', 'tms', 'failures'] });
    tap = await tapRetries(world.vhost.url);
  });
  afterEach(async () => {
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
    assert.deepEqual(
      await world.store.query(
        'select notice_id, chunk_no from intake group by 1, 2 having count(*) > 1 or chunk_no < 0',
      ),
      [],
    );
  });
  after(async () => {
    await tap.close();
    await world.close();
  });

  /** Runs the old path while `work` does. */
  async function withLegacy<T>(work: () => Promise<T>): Promise<T> {
    const legacy = await world.start({ parts: ['legacy'] });
    try {
      return await work();
    } finally {
      await legacy.stop();
    }
  }

  const openOf = async (noticeId: string) =>
    (await listFailures(world.store, { state: 'open' })).filter(({ noticeIds }) =>
      noticeIds.includes(noticeId),
    );
  const numbersOf = async (noticeId: string) =>
    (
      await world.store.rows<[number, string]>(
        'select chunk_no, path from intake where notice_id = $1 order by 1',
        [noticeId],
      )
    ).map(([number, path]) => `${number} ${path}`);

  it('of one notice, by several retries at once: each chunk has a number of its own, each customer is told once', async () => {
    await world.simulator.faults({ recipients: { [badPhone]: 'retriable' } });
    const orderIds = await world.orders(6, { phone: badPhone });
    const { noticeId } = await world.post(orderIds);
    const failures = await until(async () => (await openOf(noticeId)).length === 6 && openOf(noticeId), {
      what: 'each order is a failure of its own',
    });
    await world.simulator.faults({});
    const operations = await Promise.all(
      failures.map(({ failureId }) => retry(world, { failureIds: [failureId] }, { path: 'legacy' })),
    );
    for (const operationId of operations)
      await until(async () => (await itemsOf(world, operationId)).sent === 1, { what: 'it is handed over' });
    const chunks = await numbersOf(noticeId);
    assert.equal(new Set(chunks).size, chunks.length);
    assert.equal(chunks.filter((chunk) => chunk.endsWith('legacy')).length, 6);
    await withLegacy(async () => {
      for (const operationId of operations)
        assert.deepEqual((await ended(world, operationId)).items, { resolved: 1 });
    });
    assert.deepEqual(await world.settled(noticeId), { notified: 6 });
    await world.toldOnce(noticeId, orderIds);
  });

  it('with chunks of several notices in one message, some of them settled: each settles in its own', async () => {
    const notices = await failing(world, 3, { others: 1 });
    const messages = await findFailures(
      world.store,
      notices.map(({ failure }) => failure.failureId),
    );
    type Message = { chunks: { header: object; items: object[] }[] };
    const chunks = messages.flatMap(({ body }) => (JSON.parse(body.toString()) as Message).chunks);
    // Each with the order beside it, which is told already.
    chunks.forEach((chunk, at) => {
      const [failed = '', told = ''] = notices[at]?.orderIds ?? [];
      chunk.items = [{ orderId: failed }, { orderId: told }];
    });
    await publishRaw(world.vhost.url, {
      exchange: exchanges.failed,
      routingKey: 'delay.express',
      type: 'delay.v1',
      messageId: uuidv7(),
      content: Buffer.from(JSON.stringify({ chunks })),
    });
    const whole = await until(
      async () => (await listFailures(world.store, { state: 'open' })).find(({ step }) => step === 'delay'),
      { what: 'the message is recorded' },
    );
    await world.simulator.faults({});
    const operationId = await retry(world, { failureIds: [whole.failureId] }, { path: 'legacy' });
    await withLegacy(async () => assert.deepEqual((await ended(world, operationId)).items, { resolved: 1 }));
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(await world.settled(noticeId), { notified: 2 });
      await world.toldOnce(noticeId, orderIds);
      const legacy = (await numbersOf(noticeId)).filter((chunk) => chunk.endsWith('legacy'));
      assert.equal(legacy.length, 1);
    }
    await ended(world, await retry(world, those(notices)));
    for (const { noticeId, orderIds } of notices) await world.toldOnce(noticeId, orderIds);
  });

  it('that fails there as well: failed again, and can be retried on either path', async () => {
    const [notice = assert.fail()] = await failing(world, 1);
    const { noticeId, orderIds } = notice;
    await withLegacy(async () => {
      const { items } = await ended(world, await retry(world, those([notice]), { path: 'legacy' }));
      assert.deepEqual(items, { failed_again: 1 });
      const [again] = await openOf(noticeId);
      assert.deepEqual([again?.step, again?.retryOf], ['legacy', notice.failure.failureId]);
      // It was handed over for good: its step is the legacy run now.
      const second = await ended(world, await retry(world, { failureIds: [again?.failureId ?? ''] }));
      assert.deepEqual(second.items, { failed_again: 1 });
      const [last] = await openOf(noticeId);
      assert.deepEqual([last?.step, last?.retryOf], ['legacy', again?.failureId]);
      await world.simulator.faults({});
      const third = await ended(world, await retry(world, { failureIds: [last?.failureId ?? ''] }));
      assert.deepEqual(third.items, { resolved: 1 });
    });
    assert.deepEqual(await world.settled(noticeId), { notified: 1 });
    await world.toldOnce(noticeId, orderIds);
  });

  it('whose run dies in the middle of recording that: the next run records it once', async () => {
    const [notice = assert.fail()] = await failing(world, 1);
    const gate = await gateAt(world.env.CHODANG_POSTGRES_URL, {
      table: 'failures',
      event: 'insert',
      when: `new.step = 'legacy'`,
      deferred: true,
    });
    const operationId = await retry(world, those([notice]), { path: 'legacy' });
    const { gone, kill } = await world.spawn(undefined, ['legacy']);
    await gate.held();
    kill('SIGKILL');
    await gone;
    await gate.open();
    await withLegacy(async () => {
      assert.deepEqual((await ended(world, operationId)).items, { failed_again: 1 });
      await until(
        async () => (await world.store.query('select from intake where done_at is null')).length === 0,
        { what: 'the chunk is done with' },
      );
    });
    const open = await openOf(notice.noticeId);
    assert.deepEqual(
      open.map(({ retryOf }) => retryOf),
      [notice.failure.failureId],
    );
    await world.simulator.faults({});
    await ended(
      world,
      await retry(world, those([{ ...notice, failure: open[0] ?? assert.fail() }]), {}).then(
        async (again) => {
          await withLegacy(() => ended(world, again));
          return again;
        },
      ),
    );
    await world.toldOnce(notice.noticeId, notice.orderIds);
  });

  it('a failure of the legacy run, retried while the switch is at the actors: the legacy run does it', async () => {
    await flip(world.zookeeper, 'legacy');
    await until(async () => (await world.post(['nobody'])).path === 'legacy', { what: 'the path is legacy' });
    const [notice = assert.fail()] = await withLegacy(() => failing(world, 1, { others: 1 }));
    assert.equal(notice.failure.step, 'legacy');
    await flip(world.zookeeper, 'actors');
    await until(async () => (await world.post(['nobody'])).path === 'actors', { what: 'the path is actors' });
    await world.simulator.faults({});
    const operationId = await retry(world, those([notice]));
    await withLegacy(async () => assert.deepEqual((await ended(world, operationId)).items, { resolved: 1 }));
    assert.deepEqual(await statesOf(world.store, notice), {
      [notice.orderIds[0] ?? '']: 'notified',
      [notice.orderIds[1] ?? '']: 'notified',
    });
    await world.toldOnce(notice.noticeId, notice.orderIds);
    const name = `${operationId}/${notice.failure.failureId}`;
    assert.deepEqual(
      tap.seen.filter(({ retry }) => retry === name),
      [],
      'no step has seen it',
    );
  });
});
