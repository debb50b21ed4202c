import assert from 'node:assert/strict';
import { feedStep } from '../../src/config/topology.ts';
import { headerNames, markHeaders, publicationTo } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import type { OrderEvent } from '../../src/rules/orderEvent.ts';
import { orderFormat } from '../../src/rules/orderFormat.ts';
import { areTaken } from '../../src/store/orderEvents.ts';
import { allFailures, statesOf } from '../support/database.ts';
import { aFeedWorld, readFed, recordFailed } from '../support/feed.ts';
import { anUpserted, aShop, aStatusChange } from '../support/orderEvents.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { publishRaw } from '../support/publish.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/wait.ts';
import { inDays } from '../support/world.ts';

type FeedWorld = Awaited<ReturnType<typeof aFeedWorld>>;

describe("following the shop's orders", function () {
  this.timeout(120_000);
  let world: FeedWorld;
  let shop: Awaited<ReturnType<typeof aShop>>;
  let proxy: Proxy | undefined;
  const begin = async (...settings: Parameters<typeof aFeedWorld>) => {
    world = await aFeedWorld(...settings);
  };
  const openShop = async () => {
    shop = await aShop(world.vhost.url);
  };
  afterEach(async () => {
    await shop.close();
    await world.close();
    await proxy?.close();
    proxy = undefined;
  });

  const statusOf = async (orderId: string) =>
    (await readFed(world.store)).find((order) => order.orderId === orderId)?.status;
  const status = (orderId: string, expected: string) =>
    until(async () => (await statusOf(orderId)) === expected, {
      what: `${orderId} is ${expected}`,
      timeoutMs: 30_000,
    });

  it('takes in single events and lists of them, whatever their routing key', async () => {
    await begin();
    await world.feed();
    await openShop();
    await shop.tell(anUpserted(), [anUpserted({ orderId: 'o-2' }), aStatusChange({ orderId: 'o-2' })]);
    const content = Buffer.from(JSON.stringify(anUpserted({ orderId: 'o-3', status: 'claim' })));
    await publishRaw(world.vhost.url, { exchange: 'chodang.orders', routingKey: '', content });
    await status('o-1', 'open');
    await status('o-2', 'canceled');
    await status('o-3', 'claim');
    assert.deepEqual(shop.returned, []);
  });

  it('ends as if every event had come once and in its turn, though they come in any sequence, repeated, to several processes', async () => {
    await begin({ feed: { maxAttempts: 1_000 } });
    await Promise.all([world.feed(), world.spawnFeed()]);
    await openShop();
    const random = randomFrom(20_260_722);
    const statuses = ['open', 'canceled', 'shipped', 'delivered', 'claim'] as const;
    const events: OrderEvent[] = [];
    for (let order = 0; order < 500; order += 1)
      for (let version = 0; version < 30; version += 1) {
        const parts = {
          orderId: `o-${String(order).padStart(3, '0')}`,
          version,
          status: random.one(statuses) ?? 'open',
        };
        events.push(
          version === 0 || random.below(3) === 0
            ? anUpserted({
                ...parts,
                product: `product ${random.below(1_000)}`,
                promisedShipDate: inDays(random.below(100)),
              })
            : aStatusChange(parts),
        );
      }
    const expected = replayed(events);
    const all = [...events, ...Array.from({ length: 5_000 }, () => random.one(events) ?? assert.fail())];
    for (let at = all.length - 1; at > 0; at -= 1) {
      const other = random.below(at + 1);
      [all[at], all[other]] = [all[other] ?? assert.fail(), all[at] ?? assert.fail()];
    }
    assert.equal(all.length, 20_000);
    const messages: (OrderEvent | OrderEvent[])[] = [];
    while (all.length > 0) {
      const some = all.splice(0, 1 + random.below(60));
      messages.push(some.length === 1 ? (some[0] ?? assert.fail()) : some);
    }
    await shop.tell(...messages);
    const seen = async () =>
      (await readFed(world.store)).map(({ orderId, status, product, promised, expected, ...versions }) => [
        orderId,
        status,
        product,
        promised,
        expected,
        versions.statusVersion,
        versions.upsertVersion,
      ]);
    const { broker } = await world.feed();
    await until(
      async () => {
        const [main, waiting] = [await broker.depth('orders.bulk'), await broker.depth('orders.retriable')];
        return main + waiting === 0 && JSON.stringify(await seen()) === JSON.stringify(expected);
      },
      { what: 'all orders are as their events say', timeoutMs: 60_000 },
    );
    assert.deepEqual(await seen(), expected);
    assert.equal(await broker.depth('orders.failed'), 0);
  });

  it('changes nothing when a process died between commit and ack, and the events come again', async () => {
    await begin();
    const dying = await world.spawnFeed({ killAfterCommit: true });
    await openShop();
    await shop.tell([anUpserted(), anUpserted({ orderId: 'o-2' }), aStatusChange()]);
    assert.equal(await dying.gone, 'SIGKILL');
    const before = await readFed(world.store);
    assert.deepEqual(
      before.map((order) => [order.orderId, order.status]),
      [
        ['o-1', 'canceled'],
        ['o-2', 'open'],
      ],
    );
    const { seen, broker } = await world.feed();
    await until(() => seen.batches.length > 0, { what: 'the events came again' });
    assert.deepEqual(seen.batches[0]?.items, 3);
    assert.deepEqual(await readFed(world.store), before, 'each row is the same version of itself');
    await until(async () => (await broker.depth('orders.bulk')) === 0, { what: 'the queue is empty' });
  });

  it('costs the neighbours of events that can not be understood nothing, and keeps those as they came', async () => {
    await begin();
    const feed = await world.feed();
    const failed = recordFailed(world.config, feed);
    await openShop();
    const misspelled = { ...aStatusChange(), data: { ...aStatusChange().data, status: 'shiped' } };
    const strange = { 주문: ['o-1', null, 1.5e300] };
    const alone = Buffer.from(' { "type" : "order.paid",\n "type" : "order.paid" } ');
    await shop.tell([anUpserted(), misspelled, aStatusChange(), strange, anUpserted({ orderId: 'o-2' })]);
    await shop.tell(alone, Buffer.from('no JSON'));
    await status('o-1', 'canceled');
    await status('o-2', 'open');
    const failures = await until(
      async () => {
        const all = await allFailures(world.store);
        return all.length >= 4 && all;
      },
      { what: 'four failures are recorded' },
    );
    assert.deepEqual(
      failures.map(({ body }) => body.toString()).toSorted(),
      [JSON.stringify([misspelled]), JSON.stringify([strange]), alone.toString(), 'no JSON'].toSorted(),
    );
    for (const { step, lane, errorClass, attempt } of failures)
      assert.deepEqual([step, lane, errorClass, attempt], ['orders', 'bulk', 'MalformedError', 1]);
    assert.deepEqual(feed.seen.retriable, [], 'nobody waited');
    await failed.stop();
  });

  it('keeps a message as a whole that is larger than one may be, and takes in none of its events', async () => {
    await begin();
    const failed = recordFailed(world.config, await world.feed());
    await openShop();
    const large = Buffer.from(JSON.stringify([anUpserted()]).padEnd(orderFormat.maxBytes + 1));
    await shop.tell(large, anUpserted({ orderId: 'o-2' }));
    const [failure] = await until(
      async () => {
        const all = await allFailures(world.store);
        return all.length > 0 && all;
      },
      { what: 'a failure is recorded' },
    );
    assert.match(failure?.errorMessage ?? '', /expected a message of at most 4,194,304 bytes/);
    assert(failure?.body.equals(large));
    await status('o-2', 'open');
    assert.equal(await statusOf('o-1'), undefined);
    await failed.stop();
  });

  it('has a new status wait for its order, by itself', async () => {
    await begin();
    const { seen } = await world.feed();
    await openShop();
    await shop.tell(aStatusChange({ orderId: 'late', version: 9 }), [
      anUpserted(),
      aStatusChange({ orderId: 'later', version: 9 }),
    ]);
    await until(() => seen.retriable.length >= 2, { what: 'both wait' });
    assert.equal(await statusOf('o-1'), 'open');
    await shop.tell([anUpserted({ orderId: 'late' }), anUpserted({ orderId: 'later' })]);
    await status('late', 'canceled');
    await status('later', 'canceled');
    assert.deepEqual(seen.failed, []);
  });

  it('gives a status up whose order never comes, which can be sent again', async () => {
    await begin({ feed: { retryMs: 50 } });
    const feed = await world.feed();
    const failed = recordFailed(world.config, feed);
    await openShop();
    const event = aStatusChange({ version: 9 });
    await shop.tell(event);
    const [failure] = await until(
      async () => {
        const all = await allFailures(world.store);
        return all.length > 0 && all;
      },
      { what: 'the failure is recorded' },
    );
    assert.deepEqual(
      [failure?.errorClass, failure?.attempt, JSON.parse(String(failure?.body))],
      ['UnknownOrder', 3, [event]],
    );
    await shop.tell(anUpserted());
    await status('o-1', 'open');
    assert.deepEqual(await areTaken(world.store, [event]), [false]);
    // As a retry publishes it; the lane may be another one's.
    const retry = publicationTo(exchanges.steps, feedStep, 'express', failure?.body ?? assert.fail(), {
      ...markHeaders({ retry: '1/2' }),
      [headerNames.attempts]: 0,
    });
    await feed.broker.publish(retry);
    await status('o-1', 'canceled');
    assert.deepEqual(await areTaken(world.store, [event]), [true]);
    await failed.stop();
  });

  it('waits while Postgres is away, and loses nothing', async () => {
    await begin();
    const { postgres } = world.config;
    proxy = await proxyTo(Number(new URL(postgres.url).port));
    postgres.url = proxy.over(postgres.url);
    const { seen } = await world.feed();
    await openShop();
    await shop.tell(anUpserted({ orderId: 'before' }));
    await status('before', 'open');
    proxy.cut();
    for (let at = 0; at < 20; at += 1) await shop.tell([anUpserted({ orderId: `o-${at}` }), anUpserted()]);
    await until(() => seen.circuit.some(({ open }) => open), { what: 'the circuit is open' });
    proxy.mend();
    await until(async () => (await readFed(world.store)).length === 21, {
      what: 'all orders are there',
      timeoutMs: 30_000,
    });
    assert.deepEqual(seen.failed, []);
    await until(() => seen.circuit.at(-1)?.open === false, { what: 'the circuit is closed' });
  });

  it('stops a notice whose order is canceled meanwhile at the next step', async () => {
    await begin();
    const feed = await world.feed();
    await openShop();
    await shop.tell([
      anUpserted({ orderId: 'stays', promisedShipDate: inDays(0) }),
      anUpserted({ orderId: 'before delay', promisedShipDate: inDays(0) }),
      anUpserted({ orderId: 'before tms', promisedShipDate: inDays(0), phone: '+821099999999' }),
    ]);
    await status('stays', 'open');
    await world.start({ parts: ['api', 'validation'] });
    const { noticeId } = await world.post(['stays', 'before delay', 'before tms']);
    await until(async () => (await feed.broker.depth('delay.express')) > 0, { what: 'it is validated' });
    await shop.tell(aStatusChange({ orderId: 'before delay' }));
    await status('before delay', 'canceled');
    await world.start({ parts: ['delay'] });
    await until(async () => (await statesOf(world.store, { noticeId }))['before tms'] === 'delayed', {
      what: 'it is delayed',
    });
    await shop.tell(aStatusChange({ orderId: 'before tms' }));
    await status('before tms', 'canceled');
    await world.start({ parts: ['tms'] });
    await until(async () => Object.keys(await statesOf(world.store, { noticeId })).length === 3, {
      what: 'all are in the ledger',
    });
    await until(async () => !Object.values(await statesOf(world.store, { noticeId })).includes('delayed'), {
      what: 'the notice has settled',
    });
    assert.deepEqual(await statesOf(world.store, { noticeId }), {
      'before delay': 'rejected ORDER_CANCELED',
      'before tms': 'rejected ORDER_CANCELED',
      stays: 'notified',
    });
  });

  it('is not stopped by what others write into the properties of a message', async () => {
    await begin();
    const feed = await world.feed();
    await openShop();
    const message = {
      exchange: 'chodang.orders',
      routingKey: 'orders.failed',
      content: Buffer.from('no JSON'),
      timestamp: Date.now() * 1_000,
      contentType: 'text/plain',
      type: 'x',
      headers: { [headerNames.attempts]: 'many' },
    };
    await publishRaw(world.vhost.url, message);
    await until(() => feed.seen.failed.length > 0, { what: 'it has failed' });
    await shop.tell(anUpserted());
    await status('o-1', 'open');
    assert.deepEqual(feed.seen.crashed, []);
  });
});

/** What each order is once all its events have come, in their turn. */
function replayed(events: readonly OrderEvent[]): unknown[] {
  const orders = new Map<string, unknown[]>();
  for (const event of events.toSorted((one, other) => one.data.version - other.data.version)) {
    const { orderId, version } = event.data;
    const [, , product, promised, expected, , upsertVersion] = orders.get(orderId) ?? [];
    orders.set(
      orderId,
      event.type === 'order.upserted'
        ? [
            orderId,
            event.data.status,
            event.data.product,
            event.data.promisedShipDate,
            event.data.promisedShipDate,
            version,
            version,
          ]
        : [orderId, event.data.status, product, promised, expected, version, upsertVersion],
    );
  }
  return [...orders.values()];
}
