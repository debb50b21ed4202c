import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { uuidv7 } from 'uuidv7';
import { headerNames } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { listItems } from '../../src/store/failureHistory.ts';
import { discardFailures } from '../../src/store/failureOperations.ts';
import { findFailures, listFailures } from '../../src/store/failures.ts';
import { storeIntake } from '../support/database.ts';
import { ended, itemsOf, retry } from '../support/failing.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { aNotice } from '../support/makers.ts';
import { publishRaw } from '../support/publish.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

/** Beyond a third of a page a key can't be indexed; random, since Postgres would compress it. */
const tooLong = Array.from({ length: 9_000 }, () => Math.random().toString(36).slice(2, 3)).join('');

describe('a message that fails whatever is done, retried', function () {
  this.timeout(90_000);
  let world: World;
  before(async () => {
    world = await aWorld({
      stepDefaults: {
        maxAttempts: 2,
        retryMs: 100,
        // What comes at the same time is in one batch.
        lanes: { express: { batch: { waitMs: 100 }, consumers: { min: 1, max: 1 } } },
      },
      legacy: { intervalMs: 20, maxAttempts: 1 },
    });
    await world.start();
  });
  afterEach(async () => {
    await groupsAddUp(world.store);
    await noneForgotten(world.store);
  });
  after(() => world.close());

  /** A message of one notice, with these orders; nobody but us would write it. */
  async function messageOf(...items: object[]): Promise<Buffer> {
    const header = aNotice({ newShipDate: inDays(7) });
    await storeIntake(world.store, header, [[{ orderId: 'some other' }]]);
    await world.store.query('update intake set done_at = now()');
    return Buffer.from(JSON.stringify({ chunks: [{ header, items }] }));
  }

  async function publish(
    content: Buffer,
    { type = 'validation.v1', exchange = exchanges.steps }: { type?: string; exchange?: string } = {},
  ) {
    const routingKey = 'validation.express';
    await publishRaw(world.vhost.url, { exchange, routingKey, type, messageId: uuidv7(), content });
  }

  const openNow = (count: number) =>
    until(
      async () => {
        const all = await listFailures(world.store, { state: 'open' });
        return all.length >= count && all;
      },
      { what: `${count} are open`, timeoutMs: 20_000 },
    );
  const poisons: [string, () => Promise<Buffer>, { type?: string }?][] = [
    ['bytes that are no JSON', async () => Buffer.from([0x7b, 0, 0xff, 0xfe])],
    ['nothing at all', async () => Buffer.alloc(0)],
    ['no chunks', async () => Buffer.from('{"chunks":[]}')],
    ['a type that nobody knows', () => messageOf({ orderId: 'o-1' }), { type: 'validation.v9' }],
    ['a type of nothing but NUL', () => messageOf({ orderId: 'o-1' }), { type: '\0'.repeat(200) }],
    ['a field that nobody knows', () => messageOf({ orderId: 'o-1', color: 'red' }, { orderId: 'o-2' })],
    ['a NUL in an order id', () => messageOf({ orderId: 'o\0' })],
    ['an order id that no index takes', () => messageOf({ orderId: tooLong })],
    [
      'half a surrogate pair in an order id, and an unknown field',
      () => messageOf({ orderId: 'o\ud800', x: 1 }),
    ],
  ];
  for (const [what, content, properties = {}] of poisons)
    it(`${what}: fails again each time, as another failure, and nothing is stuck`, async () => {
      const before = (await listFailures(world.store)).length;
      await publish(await content(), properties);
      let [failure] = await openNow(1);
      for (let time = 1; time <= 3; time += 1) {
        const failureId = failure?.failureId ?? '';
        const operationId = await retry(world, { failureIds: [failureId] });
        assert.deepEqual((await ended(world, operationId, 15_000)).items, { failed_again: 1 });
        const [item] = await listItems(world.store, operationId);
        const [successor, ...others] = await listFailures(world.store, { state: 'open' });
        assert.deepEqual(others, []);
        assert.deepEqual(
          [item?.failedAs, successor?.retryOf],
          [successor?.failureId, failureId],
          'the history leads from one to the next',
        );
        failure = successor;
      }
      const all = await listFailures(world.store);
      assert.equal(all.length - before, 4);
      const messages = await findFailures(
        world.store,
        all.slice(0, 4).map(({ failureId }) => failureId),
      );
      assert.equal(new Set(messages.map(({ body }) => body.toString('hex'))).size, 1, 'byte for byte');
      await discard();
    });

  /** Leaves nothing open to the next test. */
  async function discard() {
    const open = await listFailures(world.store, { state: 'open' });
    if (open.length > 0)
      await discardFailures(world.store, {
        by: { who: 'kim', why: 'the next test' },
        choice: { failureIds: open.map(({ failureId }) => failureId) },
      });
  }

  for (const [what, orderId] of [
    ['a NUL', 'o\0'],
    ['a key that no index takes', tooLong],
  ] as const)
    it(`the same order with ${what} in two messages, both at once: both end`, async () => {
      const content = await messageOf({ orderId });
      await publish(content, { exchange: exchanges.failed });
      await publish(content, { exchange: exchanges.failed });
      const two = await openNow(2);
      const operationId = await retry(world, { failureIds: two.map(({ failureId }) => failureId) });
      const { failed_again = 0, resolved = 0 } = (await ended(world, operationId, 15_000)).items;
      assert.deepEqual([failed_again + resolved, failed_again > 0], [2, true]);
      await openNow(1);
      await discard();
    });

  it('handed to the legacy run with an order id that no index takes: the run goes on with what is behind it', async () => {
    await publish(await messageOf({ orderId: tooLong }));
    const [poison] = await openNow(1);
    const operationId = await retry(world, { failureIds: [poison?.failureId ?? ''] }, { path: 'legacy' });
    await until(async () => (await itemsOf(world, operationId)).sent === 1, { what: 'it is handed over' });
    const header = aNotice({ newShipDate: inDays(7), path: 'legacy' });
    const orderIds = await world.orders(2);
    await storeIntake(world.store, header, [orderIds.map((orderId) => ({ orderId }))]);
    try {
      assert.deepEqual(await world.settled(header.noticeId, 10_000), { notified: 2 });
      assert.deepEqual((await ended(world, operationId, 10_000)).items, { failed_again: 1 });
      await discard();
    } finally {
      await world.store.query('update intake set done_at = now()');
    }
  });

  // Each of another step: one that can't be recorded would hold up those behind it.
  const headers: [string, string, Record<string, unknown>][] = [
    ['an attempt beyond all numbers', 'delay', { [headerNames.attempt]: 3_000_000_000 }],
    ['a day before all calendars', 'tms', { [headerNames.failedAt]: '-271821-04-20T00:00:00.000Z' }],
    ['a retry that there never was', 'validation', { [headerNames.retry]: '999999/999999' }],
    [
      'a retry beyond all numbers',
      'validation',
      { [headerNames.retry]: '999999999999999999/999999999999999999' },
    ],
  ];
  for (const [what, step, strange] of headers)
    it(`among the failed ones with ${what} in its headers: it is recorded, and what is behind it`, async () => {
      const connection = await connect(world.vhost.url);
      const channel = await connection.createConfirmChannel();
      const before = (await listFailures(world.store)).length;
      for (const headers of [strange, {}])
        channel.publish(exchanges.failed, `${step}.bulk`, Buffer.from('no JSON'), {
          persistent: true,
          messageId: uuidv7(),
          headers,
        });
      await channel.waitForConfirms();
      await connection.close();
      await until(async () => (await listFailures(world.store)).length === before + 2, {
        what: 'both are recorded',
      });
      await discard();
    });
});
