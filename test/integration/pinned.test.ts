import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { retryFailures, usualRetry } from '../../src/failures/retry.ts';
import type { Publication } from '../../src/pipeline/message.ts';
import type { ProcessOptions } from '../../src/process.ts';
import { findOperation } from '../../src/store/failureHistory.ts';
import { type ListedFailure, listFailures } from '../../src/store/failures.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { bucketOf } from '../../src/switches/bucket.ts';
import type { Faults } from '../../src/tms/simulator/faults.ts';
import { readLedger } from '../support/database.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

type Path = 'legacy' | 'actors';
const other = { legacy: 'actors', actors: 'legacy' } as const;

/** A notice as the API answered for it. */
interface Posted {
  noticeId: string;
  path: string;
  orderIds: string[];
}

/** Who may take up an order: the actors of the steps, or the legacy run. */
const doers = ['validation', 'delay', 'tms', 'legacy'];

/** Stands between the parts of Chodang and notes who takes up which order, whatever comes of it. */
function aWitness() {
  const notes: { doer: string; key: string }[] = [];
  /** The actors of this step fail with this order. */
  let broken: { step: string; orderId: string } | undefined;
  /** What a message waits for before it is published. */
  let pause: (publication: Publication) => Promise<void> = async () => {};

  const actors: ProcessOptions['wrap'] = {
    broker: (broker) => ({
      ...broker,
      async publish(publication) {
        await pause(publication);
        await broker.publish(publication);
      },
    }),
    actor: (step, actor) => ({
      run(batch) {
        for (const { header, item } of batch)
          notes.push({ doer: step, key: `${header.noticeId}:${item.orderId}` });
        if (step === broken?.step && batch.some(({ item }) => item.orderId === broken?.orderId))
          throw new Error('broken by the test');
        return actor.run(batch);
      },
    }),
  };
  // A process that runs nothing but the legacy path: what it sends is the legacy run's.
  const legacy: ProcessOptions['wrap'] = {
    gateway: (gateway) => ({
      ...gateway,
      send(notifications) {
        for (const { key } of notifications) notes.push({ doer: 'legacy', key });
        return gateway.send(notifications);
      },
    }),
  };
  return {
    wrap: { actors, legacy },
    breaks(what: typeof broken) {
      broken = what;
    },
    pausesFor(what: typeof pause) {
      pause = what;
    },
    /** How often `doer` took up an order. */
    times: (doer: string, { noticeId }: Posted, orderId: string) =>
      notes.filter((note) => note.doer === doer && note.key === `${noticeId}:${orderId}`).length,
    /** Which orders of a notice each took up. */
    ordersOf({ noticeId }: Posted): Record<string, string[]> {
      const its = notes.filter(({ key }) => key.startsWith(noticeId));
      const takenBy = (who: string) => {
        const ids = its.filter(({ doer }) => doer === who).map(({ key }) => key.slice(noticeId.length + 1));
        return [...new Set(ids)].toSorted();
      };
      return Object.fromEntries(doers.map((doer) => [doer, takenBy(doer)]));
    },
  };
}

describe('a notice keeps its path for life', function () {
  this.timeout(240_000);
  let world: World;
  let witness: ReturnType<typeof aWitness>;

  /** Starts Chodang with its legacy run apart from the actors, so that one can tell who did what. */
  async function begin(overlay: Record<string, unknown>): Promise<void> {
    world = await aWorld(overlay);
    witness = aWitness();
    await world.start({ parts: ['legacy'], wrap: witness.wrap.legacy });
    await world.start({
      parts: ['api', 'validation', 'delay', 'tms', 'failures'],
      wrap: witness.wrap.actors,
    });
  }

  const eventually = <T>(what: string, condition: () => T | Promise<T>) =>
    until(condition, { what, timeoutMs: 60_000 });

  /** Flips the switch, and waits until the processes go by it. */
  async function turnTo(path: Path, addresses = [world.address()]): Promise<void> {
    await flip(world.zookeeper, path);
    for (const at of addresses)
      await eventually(
        `notices take path ${path}`,
        async () => (await world.post([`nobody's ${uuidv7()}`], { at })).path === path,
      );
  }

  async function post(orderIds: string[], to: { at?: string; key?: string } = {}): Promise<Posted> {
    const { noticeId, path } = await world.post(orderIds, to);
    return { noticeId, path, orderIds };
  }

  /** Asserts that every order went through each step of the notice's path, and none through one of the other. */
  function assertWhollyOnItsPath(notice: Posted): void {
    const all = notice.orderIds.toSorted();
    const expected =
      notice.path === 'actors'
        ? { validation: all, delay: all, tms: all, legacy: [] }
        : { validation: [], delay: [], tms: [], legacy: all };
    assert.deepEqual(witness.ordersOf(notice), expected, `notice ${notice.noticeId} on path ${notice.path}`);
  }

  /** What the database keeps of the path of notices, in their order. */
  async function kept(notices: readonly Posted[]) {
    const rows = await world.store.query<{
      noticeId: string;
      /** Of the notice, of its chunks in `intake`, and in the chunks as they travel. */
      paths: string[];
      chunks: number;
      version: number;
      acceptedAt: Date;
      settledAt: Date;
      states: string[];
      orders: number;
    }>(
      `select notice_id as "noticeId", switch_version as version, accepted_at as "acceptedAt",
              l."settledAt", i.chunks, l.states, l.orders,
              array(select distinct unnest(n.path || i.paths)) as paths
       from notices n
       join lateral (
         select count(*)::int as chunks, array_agg(path) || array_agg(chunk::jsonb -> 'header' ->> 'path') as paths
         from intake where notice_id = n.notice_id
       ) i on true
       join lateral (
         select count(*)::int as orders, max(settled_at) as "settledAt", array_agg(distinct state::text) as states
         from ledger where notice_id = n.notice_id
       ) l on true
       where notice_id = any($1)`,
      [notices.map(({ noticeId }) => noticeId)],
    );
    return notices.map(
      ({ noticeId }) => rows.find((row) => row.noticeId === noticeId) ?? assert.fail(`${noticeId} is lost`),
    );
  }

  /** Asserts that a notice has settled, told everybody once, and was on its path all the time. */
  async function assertDone(notice: Posted): Promise<void> {
    assert.deepEqual(await world.settled(notice.noticeId, 60_000), { notified: notice.orderIds.length });
    await world.toldOnce(notice.noticeId, notice.orderIds);
    assertWhollyOnItsPath(notice);
    assert.equal((await world.progress(notice.noticeId)).path, notice.path);
    assert.deepEqual((await kept([notice]))[0]?.paths, [notice.path]);
  }

  describe('while the switch flips', () => {
    const values = [
      { value: 'on', by: 'sellerId', actorsBelow: 10_000 },
      { value: '25%', by: 'sellerId', actorsBelow: 2_500 },
      { value: 'off', by: 'sellerId', actorsBelow: 0 },
      { value: '50%', by: 'sellerId', actorsBelow: 5_000 },
      { value: '{"variants":{"legacy":50,"actors":50},"by":"noticeId"}', by: 'noticeId', actorsBelow: 5_000 },
      { value: 'legacy=70 actors=30', by: 'sellerId', actorsBelow: 3_000 },
    ] as const;
    const atFirst = { value: 'legacy', by: 'sellerId', actorsBelow: 0 } as const;
    const flips = Array.from({ length: 50 }, (_, at) => values[at % values.length] ?? atFirst);
    const chunkSize = 2;
    let addresses: string[];

    before(async () => {
      await begin({
        legacy: { intervalMs: 10 },
        pipeline: { chunkSize },
        lanes: { express: { maxOrders: 3 } },
        // What 8 messages of that size can fill.
        stepDefaults: { lanes: { express: { batch: { size: 16 } }, bulk: { batch: { size: 16 } } } },
      });
      const here = world.address();
      const { address: there = '' } = await world.spawn(undefined, ['api']);
      addresses = [here, there];
      await turnTo('legacy', addresses);
    });
    after(() => world.close());

    /** Makes 200 notices of 1 to 5 orders each, of several sellers, each for one of the two processes. */
    async function toPost() {
      const sellers = await Promise.all(
        Array.from({ length: 10 }, async (_, at) => {
          const sellerId = `s-${at + 100}`;
          return { sellerId, key: await addApiKey(world.store, sellerId) };
        }),
      );
      const notices = [];
      for (let at = 0; at < 200; at += 1) {
        const { sellerId, key } = sellers[Math.floor(at / 2) % sellers.length] ?? assert.fail();
        const orderIds = await world.orders(1 + (at % 5), { sellerId });
        notices.push({ sellerId, key, orderIds, address: addresses[at % addresses.length] ?? '' });
      }
      return notices;
    }

    /**
     * Posts all of them, four at a time; meanwhile, evenly spread over them, the switch flips.
     *
     * What this process publishes waits: between two steps until the switch has flipped once more, and what it has
     * just accepted until the legacy run, which then would take it if it could, is through with its own. Returns the
     * answers, and when the switch flipped.
     */
    async function postUnderFlips(notices: Awaited<ReturnType<typeof toPost>>) {
      const perFlip = notices.length / flips.length;
      const posted: (Posted & (typeof notices)[number])[] = [];
      const flippedAt: Date[] = [];
      let begun = 0;
      let over = false;
      const poster = async () => {
        while (begun < notices.length) {
          const at = begun++;
          const notice = notices[at] ?? assert.fail();
          // Neither gets far ahead of the other.
          const before = Math.floor(at / perFlip) - 1;
          await eventually('the flips keep up', () => over || flippedAt.length >= before);
          if (over) return;
          posted[at] = {
            ...notice,
            ...(await post(notice.orderIds, { at: notice.address, key: notice.key })),
          };
        }
      };
      const flipper = async () => {
        for (const [at, { value }] of flips.entries()) {
          await eventually('the notices keep up', () => over || begun >= at * perFlip);
          if (over) return;
          const { now } = await flip(world.zookeeper, value);
          assert.equal(now.version, at + 1);
          flippedAt.push(now.changedAt);
        }
      };
      witness.pausesFor(async ({ routingKey }) => {
        const before = flippedAt.length;
        const goesOn = () => flippedAt.length > before || before === flips.length;
        const accepted = routingKey.startsWith('validation.');
        await until(() => over || (!accepted && goesOn()), { what: 'it goes on', timeoutMs: 200_000 });
      });
      try {
        await Promise.all([flipper(), poster(), poster(), poster(), poster()]);
        await eventually('the legacy run is through', async () => {
          const waiting = 'select from intake where done_at is null and path = $1';
          return (await world.store.query(waiting, ['legacy'])).length === 0;
        });
      } finally {
        over = true;
      }
      return { notices: posted, flippedAt };
    }

    it('50 times under 200 notices: each is wholly on one path, none is lost, each customer is told once', async () => {
      const { notices, flippedAt } = await postUnderFlips(await toPost());
      assert.deepEqual([notices.length, flippedAt.length], [200, 50]);
      const keys = notices.flatMap(({ noticeId, orderIds }) => orderIds.map((each) => `${noticeId}:${each}`));
      await eventually('every order has settled', async () => {
        const [row] = await world.store.query<{ count: number }>(
          `select count(*)::int as count from ledger
           where settled_at is not null and notice_id || ':' || order_id = any($1)`,
          [keys],
        );
        return row?.count === keys.length || assert.fail(`${row?.count} of ${keys.length}`);
      });

      const rows = await kept(notices);
      assert.deepEqual(
        rows.map(({ paths, chunks, states, orders }) => ({ paths, chunks, states, orders })),
        notices.map(({ path, orderIds: { length } }) => ({
          paths: [path],
          chunks: Math.ceil(length / chunkSize),
          states: ['notified'],
          orders: length,
        })),
      );
      const told = (await world.simulator.deliveries()).map(({ key }) => key);
      assert.deepEqual(told.toSorted(), keys.toSorted());
      for (const notice of notices) assertWhollyOnItsPath(notice);
      await eventually('every chunk is done with', async () => {
        const waiting = await world.store.query('select from intake where done_at is null');
        return waiting.length === 0;
      });

      // Each went by the value that was there when it was posted.
      notices.forEach(({ noticeId, sellerId, path }, at) => {
        const { value, by, actorsBelow } = [atFirst, ...flips][rows[at]?.version ?? -1] ?? assert.fail();
        const bucket = bucketOf('delay-notice-path', by === 'noticeId' ? noticeId : sellerId);
        assert.equal(
          path,
          bucket < actorsBelow ? 'actors' : 'legacy',
          `${noticeId} of ${sellerId}: ${value}`,
        );
      });

      // The flips came between: between the posts, and between a post and its end.
      const versions = new Set(rows.map(({ version }) => version)).size;
      assert(versions >= 25, `the 200 notices met ${versions} versions of the switch`);
      for (const path of ['actors', 'legacy']) {
        const crossed = notices.filter((notice, at) => {
          const { acceptedAt, settledAt } = rows[at] ?? assert.fail();
          return notice.path === path && flippedAt.some((at) => at > acceptedAt && at < settledAt);
        });
        assert(crossed.length >= 30, `the switch flipped during ${crossed.length} notices on path ${path}`);
        for (const address of addresses) {
          const count = notices.filter((each) => each.address === address && each.path === path).length;
          assert(count >= 20, `${count} of the 100 notices of ${address} took path ${path}`);
        }
      }
    });
  });

  describe('while it waits for the gateway', () => {
    const phone = '+821055556666';
    before(() =>
      begin({ legacy: { intervalMs: 10, maxAttempts: 1_000 }, stepDefaults: { maxAttempts: 1_000 } }),
    );
    afterEach(() => world.simulator.faults({}));
    after(() => world.close());

    const troubles: [string, Faults][] = [
      ['answers 503', { status: 503 }],
      ['can not serve some of its customers', { recipients: { [phone]: 'retriable' } }],
    ];
    const sender = { legacy: 'legacy', actors: 'tms' } as const;

    for (const path of ['actors', 'legacy'] as const)
      for (const [trouble, faults] of troubles)
        it(`that ${trouble}, and the switch goes from ${path} to ${other[path]}`, async () => {
          await turnTo(path);
          await world.simulator.faults(faults);
          const waiting = await post([...(await world.orders(2, { phone })), ...(await world.orders(1))]);
          assert.equal(waiting.path, path);
          const [first = ''] = waiting.orderIds;
          const tries = () => witness.times(sender[path], waiting, first);
          await eventually('it has been tried', () => tries() > 0);

          await turnTo(other[path]);
          const next = await post(await world.orders(2));
          assert.equal(next.path, other[path]);
          const ofOther = () => witness.times(sender[other[path]], next, next.orderIds[0] ?? '');
          await eventually('the other path is at work', () => ofOther() > 0);
          const before = tries();
          await eventually('its own path has tried it again, and again', () => tries() > before + 1);
          assert.notEqual((await world.progress(waiting.noticeId)).state, 'settled');

          await world.simulator.faults({});
          await assertDone(waiting);
          await assertDone(next);
        });
  });

  describe('when it is retried from failed', () => {
    const phone = '+821077778888';
    before(() => begin({ legacy: { intervalMs: 10 }, stepDefaults: { maxAttempts: 2 } }));
    afterEach(() => world.simulator.faults({}));
    after(() => world.close());

    async function retry({ failureId }: ListedFailure): Promise<void> {
      const { operationId } = await retryFailures(
        world.store,
        { steps: Object.keys(world.config.steps) },
        { by: { who: 'kim' }, choice: { failureIds: [failureId] }, options: usualRetry },
      );
      await eventually('the retry has ended', async () => {
        const operation = await findOperation(world.store, operationId);
        return operation?.state === 'done' && operation.items.resolved === 1;
      });
    }

    const failings = [
      { step: 'validation', failedFrom: null },
      { step: 'delay', failedFrom: null },
      { step: 'tms', failedFrom: 'delayed' },
    ] as const;
    for (const { step, failedFrom } of failings)
      it(`of step ${step} while the switch is off: the actors finish it, once, and legacy never touches it`, async () => {
        await turnTo('actors');
        const [orderId = ''] = await world.orders(1, { phone });
        if (step === 'tms') await world.simulator.faults({ recipients: { [phone]: 'retriable' } });
        else witness.breaks({ step, orderId });
        const notice = await post([orderId, ...(await world.orders(2))]);
        assert.equal(notice.path, 'actors');
        assert.deepEqual(await world.settled(notice.noticeId, 60_000), { notified: 2, failed: 1 });
        const failure = (await listFailures(world.store)).find(({ noticeIds }) =>
          noticeIds.includes(notice.noticeId),
        );
        assert.deepEqual([failure?.step, failure?.attempt, failure?.orders], [step, 2, 1]);
        const row = (await readLedger(world.store)).find((row) => row.orderId === orderId);
        assert.deepEqual([row?.state, row?.failedFrom], ['failed', failedFrom]);

        await turnTo('legacy');
        await world.simulator.faults({});
        witness.breaks(undefined);
        const tries = witness.times(step, notice, orderId);
        await retry(failure ?? assert.fail());
        await assertDone(notice);
        assert(witness.times(step, notice, orderId) > tries, 'the step that had failed did it');
        const next = await post(await world.orders(1));
        assert.equal(next.path, 'legacy');
        await assertDone(next);
        assertWhollyOnItsPath(notice);
      });
  });
});
