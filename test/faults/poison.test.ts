import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { exchanges } from '../../src/pipeline/topology.ts';
import type { NoticeOrder } from '../../src/rules/notice.ts';
import { allFailures, storeIntake } from '../support/database.ts';
import { type KeptLog, keptLog, says } from '../support/log-lines.ts';
import { aNotice } from '../support/makers.ts';
import { publishRaw } from '../support/publish.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

describe('a message that can not be handled', function () {
  this.timeout(60_000);
  let world: World;
  let log: KeptLog;
  before(async () => {
    world = await aWorld({ intake: { sweepOlderThanMs: 600_000 } });
    log = keptLog();
    await world.start({ log: log.log });
  });
  after(() => world.close());

  const publish = (content: Buffer, properties: { type?: string; messageId?: string } = {}) =>
    publishRaw(world.vhost.url, {
      exchange: exchanges.steps,
      routingKey: 'validation.bulk',
      content,
      type: 'validation.v1',
      ...properties,
    });

  it('one order of 500 breaks the statement: its 499 neighbours settle at the first attempt', async () => {
    const orderIds = await world.orders(500);
    const poison = orderIds[123] ?? '';
    const rest = orderIds.filter((orderId) => orderId !== poison);
    const header = aNotice({ newShipDate: inDays(7) });
    // The API refuses such a text, so it comes another way.
    const items = orderIds.map((orderId) => ({
      orderId,
      ...(orderId === poison && { detail: 'hail\u0000storm' }),
    }));
    await storeIntake(world.store, header, [items]);
    await publish(Buffer.from(JSON.stringify({ chunks: [{ header, items }] })));
    assert.deepEqual(await world.settled(header.noticeId), { notified: 499, failed: 1 });
    await world.toldOnce(header.noticeId, rest);

    const waited = log.said(says.waiting).map(({ step, orders, attempt }) => ({ step, orders, attempt }));
    assert.deepEqual(waited, [
      { step: 'delay', orders: 1, attempt: 1 },
      { step: 'delay', orders: 1, attempt: 2 },
    ]);
    const [failure, ...others] = await allFailures(world.store);
    assert.deepEqual(others, []);
    assert.match(failure?.errorMessage ?? '', /invalid byte sequence for encoding "UTF8": 0x00/);
    assert.deepEqual([failure?.step, failure?.attempt, failure?.orders], ['delay', 3, 1]);
    const kept = JSON.parse(failure?.body.toString() ?? '') as { chunks: { items: NoticeOrder[] }[] };
    assert.deepEqual(
      kept.chunks[0]?.items.map(({ orderId, detail }) => ({ orderId, detail })),
      [{ orderId: poison, detail: 'hail\u0000storm' }],
    );
    const errors = await until(
      () => {
        // Alerts are errors too, and say no step.
        const lines = log.lines.filter(({ level, step }) => level === 'error' && step !== undefined);
        return lines.length > 0 && lines;
      },
      { what: 'the log says that it failed' },
    );
    assert.deepEqual(
      errors.map(({ msg, step }) => ({ msg, step })),
      [{ msg: says.failed, step: 'delay' }],
    );
    assert.equal(log.said(says.open).length, 0, 'nobody mistook it for Postgres being away');
  });

  const malformed: [string, Buffer, { type?: string }, RegExp][] = [
    ['bytes that are no JSON', Buffer.from([0x7b, 0x00, 0xff, 0xfe, 0x0a]), {}, /expected JSON/],
    ['an empty message', Buffer.alloc(0), {}, /expected JSON/],
    ['a type that nobody knows', Buffer.from('{"chunks":[]}'), { type: 'validation.v9' }, /validation\.v9/],
    [
      'a field of the wrong shape',
      wrongShape(),
      {},
      /items\[0\]\.orderId: expected a non-empty string, got 7/,
    ],
  ];
  for (const [what, content, properties, message] of malformed)
    it(`${what}: it ends in failures as it came, byte for byte, at once`, async () => {
      log.lines.length = 0;
      const before = await allFailures(world.store);
      await publish(content, { messageId: uuidv7(), ...properties });
      const [failure, ...others] = await until(
        async () => {
          const all = await allFailures(world.store);
          return all.length > before.length && all;
        },
        { what: 'it is recorded' },
      );
      assert.equal(others.length, before.length);
      assert.deepEqual(failure?.body, content);
      assert.deepEqual(
        [failure?.errorClass, failure?.step, failure?.attempt],
        ['MalformedError', 'validation', 1],
      );
      assert.match(failure?.errorMessage ?? '', message);
      assert.equal(log.said(says.waiting).length, 0, 'waiting would not mend it');
      await until(() => log.said(says.failed).length === 1, { what: 'one line says that it failed' });
    });

  it('after all of that, notices go on', async () => {
    const orderIds = await world.orders(3);
    const { noticeId } = await world.post(orderIds);
    assert.deepEqual(await world.settled(noticeId), { notified: 3 });
  });
});

function wrongShape(): Buffer {
  const chunk = { header: aNotice(), items: [{ orderId: 7 }] };
  return Buffer.from(JSON.stringify({ chunks: [chunk] }));
}
