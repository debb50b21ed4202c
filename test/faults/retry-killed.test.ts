import assert from 'node:assert/strict';
import { headerNames } from '../../src/pipeline/message.ts';
import { listFailures } from '../../src/store/failures.ts';
import { statesOf } from '../support/database.ts';
import {
  badPhone,
  ended,
  type FailedNotice,
  failing,
  itemsOf,
  oneByOne,
  retry,
  tapRetries,
  those,
} from '../support/failing.ts';
import { gateAt } from '../support/gate.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('whoever runs a retry, killed', function () {
  this.timeout(120_000);
  let world: World;
  let tms: Awaited<ReturnType<World['start']>>;
  let tap: Awaited<ReturnType<typeof tapRetries>>;
  beforeEach(async () => {
    world = await aWorld(oneByOne);
    await world.start({ parts: ['api', 'validation', 'delay'] });
    tms = await world.start({ parts: ['tms'] });
    tap = await tapRetries(world.vhost.url);
  });
  afterEach(async () => {
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
    await tap.close();
    await world.close();
  });

  /** Lets notices fail, and stops who recorded them: whoever retries is yet to come. The gateway is well again. */
  async function failed(count: number): Promise<FailedNotice[]> {
    const recorder = await world.start({ parts: ['failures'] });
    const notices = await failing(world, count);
    await recorder.stop();
    await world.simulator.faults({});
    return notices;
  }

  async function allSettled(operationId: string, notices: readonly FailedNotice[]): Promise<void> {
    const operation = await ended(world, operationId);
    assert.deepEqual([operation.state, operation.items], ['done', { resolved: notices.length }]);
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(await world.settled(noticeId), { notified: orderIds.length });
      await world.toldOnce(noticeId, orderIds);
    }
  }

  it('while it gives orders back their state: none of them is changed, and the next one does it', async () => {
    const notices = await failed(3);
    const when = `new.state = 'sent'`;
    const table = 'failure_operation_items';
    const gate = await gateAt(world.env.CHODANG_POSTGRES_URL, { table, event: 'update', when });
    const operationId = await retry(world, those(notices));
    const { gone, kill } = await world.spawn(undefined, ['failures']);
    await gate.held();
    kill('SIGKILL');
    await gone;
    await gate.open();
    assert.deepEqual(await itemsOf(world, operationId), { waiting: 3 });
    for (const { noticeId, orderIds } of notices)
      assert.deepEqual(await statesOf(world.store, { noticeId }), { [orderIds[0] ?? '']: 'failed' });
    await world.start({ parts: ['failures'] });
    await allSettled(operationId, notices);
    assert.deepEqual(
      tap.times('tms'),
      Object.fromEntries(notices.map(({ failure }) => [failure.failureId, 1])),
    );
  });

  for (const point of [
    'before the publish of a retry',
    'between the publish of a retry and its mark',
  ] as const)
    it(`${point}: the next one publishes it, and the customers are told once`, async () => {
      const notices = await failed(3);
      const operationId = await retry(world, those(notices));
      const { gone } = await world.spawn(point, ['failures']);
      assert.equal((await gone).signal, 'SIGKILL');
      assert.deepEqual(await itemsOf(world, operationId), { sent: 3 });
      const [row] = await world.store.rows(
        'select count(published_at)::int from failure_operation_items where operation_id = $1',
        [operationId],
      );
      assert.deepEqual(row, [0], 'nobody knows whether they are published');
      await world.start({ parts: ['failures'] });
      await allSettled(operationId, notices);
      assert(Object.values(tap.times('tms')).every((times) => times <= 2));
    });

  it('half way up a ramp, one after the other: the next one goes on where it was', async () => {
    const notices = await failed(40);
    const operationId = await retry(world, those(notices), { canary: 1, ratePerSecond: 8 });
    for (const resolved of [1, 15, 25]) {
      const { gone, kill } = await world.spawn(undefined, ['failures']);
      await until(async () => ((await itemsOf(world, operationId)).resolved ?? 0) >= resolved, {
        what: `${resolved} are resolved`,
      });
      kill('SIGKILL');
      await gone;
      const { waiting = 0 } = await itemsOf(world, operationId);
      assert(waiting > 0, 'it was killed half way');
    }
    await world.start({ parts: ['failures'] });
    await allSettled(operationId, notices);
  });

  it('with another beside it: each message is published once, and the other takes over', async () => {
    const notices = await failed(40);
    const processes = [
      await world.spawn(undefined, ['failures']),
      await world.spawn(undefined, ['failures']),
    ];
    const operationId = await retry(world, those(notices), { canary: 1, ratePerSecond: 8 });
    let inHand = 0;
    // Whichever has the work: one of the two deaths hands it over.
    for (const [at, process] of processes.entries()) {
      await until(async () => ((await itemsOf(world, operationId)).resolved ?? 0) >= 8 * (at + 1), {
        what: 'some more are resolved',
      });
      if (at === 1) await world.start({ parts: ['failures'] });
      process.kill('SIGKILL');
      await process.gone;
      const [row] = await world.store.rows<[number]>(
        `select count(*)::int from failure_operation_items
         where operation_id = $1 and state = 'sent' and published_at is null`,
        [operationId],
      );
      // Where the machine is slow, a turn sends more than one at this pace. The other may have taken one over by now.
      inHand += (row?.[0] ?? 0) + 1;
      assert(((await itemsOf(world, operationId)).waiting ?? 0) > 0, 'it died half way');
    }
    await allSettled(operationId, notices);
    const twice = Object.values(tap.times('tms')).filter((times) => times > 1).length;
    assert(
      twice <= inHand,
      `${twice} messages were published twice: ${inHand} may have been in hand at a death`,
    );
  });

  it('not at all, but two of them are there: one does it all until it stops, then the other', async () => {
    const notices = await failed(60);
    const doneBy = [new Set<string>(), new Set<string>()];
    const processes = [];
    for (const by of doneBy)
      processes.push(
        await world.start({
          parts: ['failures'],
          wrap: {
            broker: (broker) => ({
              ...broker,
              publish(publication) {
                by.add(String(publication.headers[headerNames.retry]));
                return broker.publish(publication);
              },
            }),
          },
        }),
      );
    const halves = [notices.slice(0, 30), notices.slice(30)];
    const operations = await Promise.all(
      halves.map((half) => retry(world, those(half), { canary: 2, ratePerSecond: 20 })),
    );
    await until(() => doneBy.some(({ size }) => size >= 20), { what: 'one of them is at it' });
    const busy = doneBy.findIndex(({ size }) => size > 0);
    assert.equal(doneBy[1 - busy]?.size, 0, 'both are at it');
    await processes[busy]?.stop();
    for (const [at, operationId] of operations.entries()) await allSettled(operationId, halves[at] ?? []);
    assert.deepEqual(
      [...(doneBy[0] ?? [])].filter((name) => doneBy[1]?.has(name)),
      [],
      'both published the same',
    );
    assert.deepEqual(
      tap.times('tms'),
      Object.fromEntries(notices.map(({ failure }) => [failure.failureId, 1])),
    );
  });

  it('only its lock is taken from it: the other goes on with it, and customers are told once', async () => {
    const notices = await failed(40);
    await world.start({ parts: ['failures'] });
    await world.start({ parts: ['failures'] });
    const operationId = await retry(world, those(notices), { canary: 1, ratePerSecond: 20 });
    for (const resolved of [5, 15]) {
      await until(async () => ((await itemsOf(world, operationId)).resolved ?? 0) >= resolved, {
        what: `${resolved} are resolved`,
      });
      const holders = await world.store.rows(
        `select pg_terminate_backend(pid) from pg_locks
         where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`,
      );
      assert.equal(holders.length, 1);
    }
    await allSettled(operationId, notices);
  });

  it('or the step that has the message, between answer and ledger: the customer is told once', async () => {
    const notices = await failed(3);
    await tms.stop();
    await world.start({ parts: ['failures'] });
    const { gone } = await world.spawn('between answer and ledger', ['tms']);
    const operationId = await retry(world, those(notices), { canary: 1 });
    assert.equal((await gone).signal, 'SIGKILL');
    await world.start({ parts: ['tms'] });
    await allSettled(operationId, notices);
  });

  it('while it records that a retry failed again: that is recorded once, and can be retried', async () => {
    const notices = await failed(4);
    await world.simulator.faults({ recipients: { [badPhone]: 'retriable' } });
    const table = 'failure_operation_items';
    const gate = await gateAt(world.env.CHODANG_POSTGRES_URL, {
      table,
      event: 'update',
      when: `new.state = 'failed_again'`,
    });
    const operationId = await retry(world, those(notices));
    const { gone, kill } = await world.spawn(undefined, ['failures']);
    await gate.held();
    kill('SIGKILL');
    await gone;
    await gate.open();
    await world.start({ parts: ['failures'] });
    assert.deepEqual((await ended(world, operationId)).items, { failed_again: 4 });
    const open = await listFailures(world.store, { state: 'open' });
    assert.deepEqual(
      open.map(({ retryOf }) => String(retryOf)).toSorted(),
      notices.map(({ failure }) => failure.failureId).toSorted(),
    );
    await world.simulator.faults({});
    const again = await retry(world, { failureIds: open.map(({ failureId }) => failureId) });
    await allSettled(again, notices);
  });
});
