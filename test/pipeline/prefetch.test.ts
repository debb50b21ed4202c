import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { type Broker, openBroker } from '../../src/pipeline/broker/broker.ts';
import type { Delivery } from '../../src/pipeline/broker/delivery.ts';
import { Prefetch } from '../../src/pipeline/broker/prefetch.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { stepOptions } from '../support/pipeline.ts';
import { freshVhost } from '../support/servers.ts';
import { until } from '../support/wait.ts';

const maxPrefetchedBytes = 100_000;
const large = 10_000;
const small = 100;
/** What consumers ask for, where the size of messages allows it. */
const most = 30;
/** So long nothing may come until we believe that nothing will, in ms. */
const quietMs = 300;

describe('how many messages RabbitMQ hands a consumer', () => {
  let vhost: Awaited<ReturnType<typeof freshVhost>>;
  let broker: Broker;
  let held: Delivery[];
  let settled: number;
  /** Messages settle as they come until so many have. */
  let settleUntil: number;
  /** So long the first that doesn't settle holds this process up, while RabbitMQ goes on sending, in ms. */
  let holdUpMs: number;

  beforeEach(async () => {
    vhost = await freshVhost();
    held = [];
    settled = 0;
    settleUntil = 0;
    holdUpMs = 0;
    broker = openBroker({
      url: `${vhost.url}?heartbeat=2`, // a connection of which nothing is read for 4 seconds is taken for dead
      topology: { steps: { weigh: stepOptions() }, lanes: ['express'] },
      name: 'test',
      publishWaitMs: 2_000,
      maxPrefetchedBytes,
      log: pino({ level: 'silent' }),
      onFatal: (error) => assert.fail(error),
    });
    await broker.connected(10_000);
  });
  afterEach(async () => {
    await broker.close();
    await vhost.drop();
  });

  const publish = (count: number, bytes: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        broker.publish({
          exchange: exchanges.steps,
          routingKey: 'weigh.express',
          content: Buffer.alloc(bytes),
          type: 'weigh.v1',
          messageId: randomUUID(),
          headers: {},
        }),
      ),
    );

  const consume = (prefetch: number) => {
    const onDelivery = (delivery: Delivery) => {
      if (settled >= settleUntil) {
        if (held.length === 0 && holdUpMs > 0)
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, holdUpMs);
        held.push(delivery);
        return;
      }
      settle(delivery);
    };
    const subscription = broker.subscribe('weigh.express', onDelivery, { ofAnySize: true });
    subscription.consume(prefetch);
    return subscription;
  };

  const settle = (delivery: Delivery) => {
    settled += 1;
    setImmediate(() => delivery.ack());
  };

  const nothingComes = async () => {
    for (let before = -1; before !== held.length; ) {
      before = held.length;
      await sleep(quietMs);
    }
  };

  it('is its prefetch, where that many are small', async () => {
    await publish(100, small);
    consume(most);
    await until(() => held.length >= 1 + most, { what: 'as many as wished for come' });
    await nothingComes();
    // The first was asked for alone, and is held besides.
    assert.equal(held.length, 1 + most);
  });

  it('is as many as fit into maxPrefetchedBytes, where they are large', async () => {
    await publish(100, large);
    consume(most);
    await until(() => held.length >= 1 + maxPrefetchedBytes / large, {
      what: 'as many as there is room for come',
    });
    await nothingComes();
    assert.equal(held.length, 1 + maxPrefetchedBytes / large);
  });

  it('is one at least, however large they are', async () => {
    await publish(3, 2 * maxPrefetchedBytes);
    consume(most);
    await until(() => held.length >= 1, { what: 'one comes' });
    await nothingComes();
    assert.equal(held.length, 1);
    held[0]?.ack();
    await until(() => held.length >= 2, { what: 'the next comes' });
  });

  it('becomes less when large ones come after small ones, once these are settled, and more again', async () => {
    await publish(100, small);
    await publish(200, large);
    await publish(200, small);
    settleUntil = 200;
    consume(most);
    await until(() => settled === 200, { what: 'small ones and half of the large ones are settled' });
    await nothingComes();
    assert(held.length <= most, `${held.length} are held, where ${most} were asked for`);
    settleUntil += held.length;
    for (const delivery of held.splice(0)) settle(delivery);
    await until(() => held.length >= maxPrefetchedBytes / large, {
      what: 'as many as there is room for come',
    });
    await nothingComes();
    assert(held.length <= (2 * maxPrefetchedBytes) / large, `${held.length} are held`);
    settleUntil = 400;
    for (const delivery of held.splice(0)) settle(delivery);
    await until(() => settled === 400, { what: 'the large ones and half of the small ones are settled' });
    await nothingComes();
    assert(held.length > most / 2 && held.length <= 2 * most, `${held.length} are held`);
    settleUntil = Number.POSITIVE_INFINITY;
    for (const delivery of held.splice(0)) settle(delivery);
    await until(() => settled === 500, { what: 'none is lost' });
  });

  it('is bounded while nothing is settled, whatever comes in which order', async () => {
    for (let at = 0; at < 50; at += 1) {
      await publish(9, small);
      await publish(1, 8 * large);
    }
    consume(most);
    await until(() => held.length >= most / 2, { what: 'some come' });
    await nothingComes();
    const bytes = held.reduce((sum, { content }) => sum + content.length, 0);
    assert(
      held.length <= 2 * most && bytes > 2 * maxPrefetchedBytes && bytes <= 4 * maxPrefetchedBytes,
      `${held.length} of ${bytes} bytes are held`,
    );
    const [last, ...others] = held.splice(0);
    for (const delivery of others) settle(delivery);
    await nothingComes();
    assert.equal(held.length, 0, 'it rests until all is settled');
    settleUntil = Number.POSITIVE_INFINITY;
    if (last) settle(last);
    await until(() => settled === 500, { what: 'none is lost' });
  });

  it('is no more than is read, where small ones are followed by much larger ones', async function () {
    this.timeout(30_000);
    const [smallOnes, count, bytes] = [300, 150, 5 * large];
    await publish(smallOnes, small);
    await publish(count, bytes);
    settleUntil = smallOnes;
    holdUpMs = 1_000;
    consume(200);
    await until(() => held.length > 8, { what: 'more than there is room for has come' });
    await nothingComes();
    assert(held.length <= 11, `${held.length} came at once`);

    // Nobody else is held up by it.
    const askedAt = performance.now();
    await broker.depth('weigh.express');
    assert.ok(performance.now() - askedAt < 1_000);

    // It is read now and then all the same, or it would be taken for dead.
    await sleep(6_000);
    assert(held.every((delivery) => delivery.alive()));
    assert(held.length >= 10 && held.length <= 25, `${held.length} came in six seconds`);

    settleUntil = Number.POSITIVE_INFINITY;
    for (const delivery of held.splice(0)) settle(delivery);
    await until(() => settled === smallOnes + count, { what: 'none is lost' });
  });

  it('does not count what came on a channel that is gone', async () => {
    await publish(300, small);
    await publish(60, 5 * large);
    settleUntil = 300;
    holdUpMs = 1_000;
    const subscription = consume(200);
    await until(() => held.length > 8, { what: 'more than there is room for has come' });
    await subscription.close();
    holdUpMs = 0;
    settleUntil = Number.POSITIVE_INFINITY;
    consume(200);
    await until(() => settled === 360, { what: 'all come again, and are settled' });
  });
});

describe('the prefetch within bytes', () => {
  it('is not asked for again and again where sizes are mixed', () => {
    const prefetch = new Prefetch(4_194_304);
    let asked = 1;
    let changes = 0;
    for (let at = 0; at < 1_000; at += 1) {
      const bytes = at % 10 === 0 ? 350_000 : 400;
      prefetch.came(bytes);
      prefetch.settled(bytes);
      if (!prefetch.isTooLow(asked, 200)) continue;
      asked = prefetch.within(200);
      changes += 1;
    }
    assert(changes <= 5, `asked ${changes} times`);
    assert(asked >= 60 && asked <= 200, `${asked} are asked for`);
  });
});
