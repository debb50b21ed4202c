import assert from 'node:assert/strict';
import type { Publication } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { listFailures } from '../../src/store/failures.ts';
import { readLedger } from '../support/database.ts';
import { type KeptLog, keptLog, says } from '../support/log-lines.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('a gateway in trouble', function () {
  this.timeout(60_000);
  let world: World;
  let log: KeptLog;
  /** What was put among the messages that wait. */
  let waiting: Publication[];

  async function begin(tms: Record<string, unknown>): Promise<void> {
    world = await aWorld({ tms: { timeoutMs: 2_000, maxRecipients: 100, ...tms } });
    log = keptLog();
    waiting = [];
    await world.start({
      log: log.log,
      wrap: {
        broker: (broker) => ({
          ...broker,
          publish(publication) {
            if (publication.exchange === exchanges.retriable) waiting.push(publication);
            return broker.publish(publication);
          },
        }),
      },
    });
  }
  afterEach(async () => {
    await world.simulator.faults({});
    log.lines.length = 0;
    waiting.length = 0;
  });
  const phone = '+821098765432';

  describe('that recognizes repeated keys', () => {
    before(() => begin({}));
    after(() => world.close());

    it('answers 500 for a while: no attempt is burnt, the circuit opens and closes, everybody is told once', async () => {
      await world.simulator.faults({ status: 500 });
      const many = await world.orders(1_200);
      const few = await world.orders(1);
      const bulk = await world.post(many);
      const express = await world.post(few);
      await until(() => log.said(says.open, 'tms').length > 0, { what: 'the circuit opens' });
      const { calls } = await world.simulator.stats();
      await until(async () => (await world.simulator.stats()).calls > calls, {
        what: 'a probe tries the way',
      });
      assert.equal(log.said(says.closed, 'tms').length, 0, 'a probe that fails leaves the circuit open');
      await world.simulator.faults({});
      assert.deepEqual(await world.settled(bulk.noticeId), { notified: 1_200 });
      assert.deepEqual(await world.settled(express.noticeId), { notified: 1 });
      assert.equal(log.said(says.closed, 'tms').length, 1);
      await world.toldOnce(bulk.noticeId, many);
      await world.toldOnce(express.noticeId, few);

      assert(waiting.length > 0, 'messages had to wait');
      assert.deepEqual([...new Set(waiting.map(({ headers }) => headers['chodang-attempts']))], [0]);
      const attempts = log.said(says.waiting, 'tms').map(({ attempt }) => attempt);
      assert.deepEqual([...new Set(attempts)], ['unchanged']);
      assert.deepEqual(await listFailures(world.store), []);
    });

    it('knows a number to be wrong: undeliverable, and no second try', async () => {
      const before = await world.simulator.stats();
      const [wrong = '', right = ''] = [
        ...(await world.orders(1, { phone: '+821000000000' })),
        ...(await world.orders(1)),
      ];
      const { noticeId } = await world.post([wrong, right]);
      assert.deepEqual(await world.settled(noticeId), { notified: 1, undeliverable: 1 });
      await world.toldOnce(noticeId, [right]);
      assert.equal((await world.simulator.stats()).permanent, before.permanent + 1);
      const row = (await readLedger(world.store)).find(({ orderId }) => orderId === wrong);
      assert.equal(row?.note, 'wrong number');
    });

    it('leaves a result out: unconfirmed, and never sent again', async () => {
      const left = await world.orders(1, { phone });
      const others = await world.orders(20);
      await world.simulator.faults({ omitResults: { to: [phone] } });
      const before = await world.simulator.stats();
      const { noticeId } = await world.post([...left, ...others]);
      assert.deepEqual(await world.settled(noticeId), { notified: 20, unconfirmed: 1 });
      await world.toldOnce(noticeId, [...left, ...others]);
      const { recognized } = await world.simulator.stats();
      assert.equal(recognized, before.recognized, 'no key came twice');
      assert.equal(waiting.length, 0);
    });

    it('is busy (429): nobody probes before its Retry-After is over', async () => {
      await world.simulator.faults({ status: 429, retryAfter: 1, times: 3 });
      const orderIds = await world.orders(1);
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { notified: 1 });
      const [opened] = log.said(says.open, 'tms');
      assert.match(opened?.err?.message ?? '', /busy \(429\)/);
      const [delivery] = (await world.simulator.deliveries()).slice(-1);
      const pause = (delivery?.at ?? 0) - Date.parse(opened?.time ?? '');
      assert(pause > 900, `it was called again after ${pause} ms, though it had asked for 1 s`);
      await world.toldOnce(noticeId, orderIds);
    });

    it('refuses our key (401): the circuit opens at once, and closes when the key is good again', async () => {
      await world.simulator.faults({ status: 401, times: 1 });
      const orderIds = await world.orders(1);
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { notified: 1 });
      await until(() => log.said(says.closed, 'tms').length > 0, { what: 'the circuit closes' });
      const tms = log.lines.filter(({ step, level }) => step === 'tms' && level !== 'debug');
      assert.deepEqual(
        tms.map(({ msg }) => msg),
        [says.waiting, says.open, says.closed],
      );
      assert.match(tms[1]?.err?.message ?? '', /refused our key with 401/);
      assert.equal(tms[1]?.level, 'error');
      await world.toldOnce(noticeId, orderIds);
    });

    it('answers too late: it is called again with the same key, and tells the customer once', async () => {
      await world.simulator.faults({ hangMs: 10_000, times: 1 });
      const before = await world.simulator.stats();
      const orderIds = await world.orders(3);
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { notified: 3 });
      const after = await world.simulator.stats();
      assert.deepEqual([after.calls - before.calls, after.recognized - before.recognized], [2, 3]);
      await world.toldOnce(noticeId, orderIds);
    });

    it('refuses one recipient (400): that one is tried again and fails, its neighbours settle at once', async () => {
      const refused = await world.orders(1, { phone });
      const others = await world.orders(299);
      await world.simulator.faults({ refuseTo: [phone] });
      const { noticeId } = await world.post([...others.slice(0, 120), ...refused, ...others.slice(120)]);
      assert.deepEqual(await world.settled(noticeId), { notified: 299, failed: 1 });
      await world.toldOnce(noticeId, others);
      assert.deepEqual(
        log.said(says.waiting, 'tms').map(({ orders, attempt }) => ({ orders, attempt })),
        [
          { orders: 1, attempt: 1 },
          { orders: 1, attempt: 2 },
        ],
      );
      const [failure, ...more] = await listFailures(world.store);
      assert.deepEqual(more, []);
      assert.equal(failure?.errorClass, 'GatewayRefused');
      assert.match(failure?.errorMessage ?? '', /refused the call with 400/);
      assert.deepEqual([failure?.step, failure?.attempt, failure?.orders], ['tms', 3, 1]);
      assert.deepEqual(failure?.noticeIds, [noticeId]);
    });
  });

  describe('that recognizes no keys', () => {
    before(() => begin({ idempotentForMs: 0 }));
    after(() => world.close());

    it('answers too late: unconfirmed, and never sent twice', async () => {
      await world.simulator.faults({ idempotent: false, hangMs: 10_000, times: 1 });
      const orderIds = await world.orders(3);
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { unconfirmed: 3 });
      await world.toldOnce(noticeId, orderIds);
      assert.equal((await world.simulator.stats()).calls, 1);
      assert.equal(waiting.length, 0);
    });

    it('is busy (429), so that nothing was sent: it is sent later, once', async () => {
      await world.simulator.faults({ idempotent: false, status: 429, times: 1 });
      const orderIds = await world.orders(3);
      const { noticeId } = await world.post(orderIds);
      assert.deepEqual(await world.settled(noticeId), { notified: 3 });
      await world.toldOnce(noticeId, orderIds);
    });
  });
});
