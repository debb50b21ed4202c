import assert from 'node:assert/strict';
import delay from '../../src/actors/delay.ts';
import tms from '../../src/actors/tms.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { NoticeHeader } from '../../src/rules/notice.ts';
import type { Services } from '../../src/services.ts';
import type { Store } from '../../src/store/store.ts';
import { GatewayRefused } from '../../src/tms/gateway.ts';
import {
  emptyTables,
  migratedDatabase,
  readLedger,
  statesOf,
  storeLedger,
  storeOrders,
} from '../support/database.ts';
import { gatewayAway, type ToldGateway, theServices, toldGateway } from '../support/gateway.ts';
import { aNotice, anEntry } from '../support/makers.ts';
import { gatewayAt } from '../tms/makers.ts';
import { type Simulator, startSimulator, temporaryFolder } from '../tms/startSimulator.ts';

describe('the tms step', () => {
  let store: Store;
  let drop: () => Promise<void>;
  let services: Services;
  let gateway: ToldGateway;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(async () => {
    await emptyTables(store);
    gateway = toldGateway();
    services = theServices(store, gateway);
  });

  /** Stores orders and delays them by one notice, as the steps before do. */
  async function delayed(notice: NoticeHeader, ...orderIds: string[]): Promise<NoticeHeader> {
    await storeOrders(store, orderIds);
    const answers = await delay(services).run(orderIds.map((orderId) => anEntry(notice, orderId)));
    assert.ok(answers.every(({ kind }) => kind === 'forward'));
    return notice;
  }
  const run = async (...batch: ReturnType<typeof anEntry>[]) =>
    (await tms(services).run(batch)).map(({ kind }) => kind);
  const toldKeys = () => gateway.told.map(({ key }) => key);
  /** Moves the ledger's clock back, as if so much time had passed. */
  const passes = (ms: number) =>
    store.query(
      `update ledger set created_at = created_at - $1 * interval '1 millisecond',
                         sending_at = sending_at - $1 * interval '1 millisecond'`,
      [ms],
    );

  for (const kind of ['recognizes keys', 'recognizes no keys'] as const)
    describe(`with a gateway that ${kind}`, () => {
      beforeEach(() => {
        gateway = toldGateway(kind === 'recognizes keys' ? undefined : 'never');
        services = theServices(store, gateway);
      });

      it('tells each customer and records it', async () => {
        const notice = await delayed(aNotice({ detail: 'Hail' }), 'o-1', 'o-2');
        assert.deepEqual(await run(anEntry(notice, 'o-2'), anEntry(notice, 'o-1')), ['done', 'done']);
        assert.deepEqual(toldKeys(), [`${notice.noticeId}:o-2`, `${notice.noticeId}:o-1`]);
        const [first] = gateway.told;
        assert.equal(first?.to, '+821012345678');
        assert.equal(first?.template, 'WEATHER.ko');
        assert.match(first?.text ?? '', /o-2.*\n.*\nHail/);
        const rows = await readLedger(store);
        assert.deepEqual(
          rows.map((row) => [row.orderId, row.state, row.gatewayId, row.settled]),
          [
            ['o-1', 'notified', 'g-2', true],
            ['o-2', 'notified', 'g-1', true],
          ],
        );
      });

      it("lets an order's own date, reason and detail win", async () => {
        await storeOrders(store, [{ orderId: 'o-1', locale: 'en' }]);
        const notice = aNotice({ detail: 'Hail' });
        const item = {
          orderId: 'o-1',
          newShipDate: '2026-12-09',
          reason: 'ETC',
          detail: 'Own words',
        } as const;
        await delay(services).run([anEntry(notice, item)]);
        await run(anEntry(notice, item));
        assert.equal(gateway.told[0]?.template, 'ETC.en');
        assert.match(gateway.told[0]?.text ?? '', /9.*\nETC\nOwn words$/);
      });

      it('skips what is settled, and tells nobody twice', async () => {
        const notice = await delayed(aNotice(), 'o-1');
        await run(anEntry(notice, 'o-1'));
        const states = ['rejected', 'undeliverable', 'unconfirmed', 'failed'] as const;
        for (const state of states) await storeLedger(store, notice, state, state);
        const answers = await run(
          ...['o-1', ...states].map((id) => anEntry(notice, id, { redelivered: true })),
        );
        assert.deepEqual(answers, ['done', 'done', 'done', 'done', 'done']);
        assert.equal(gateway.told.length, 1);
      });

      it('rejects what is no longer true instead of sending it', async () => {
        const notice = await delayed(aNotice(), 'o-1', 'o-2', 'o-3');
        await storeOrders(store, [{ orderId: 'o-2', status: 'canceled' }]);
        const newer = aNotice({ newShipDate: '2026-12-01' });
        await delay(services).run([anEntry(newer, 'o-3')]);
        await run(...['o-1', 'o-2', 'o-3'].map((id) => anEntry(notice, id)));
        assert.deepEqual(await statesOf(store, notice), {
          'o-1': 'notified',
          'o-2': 'rejected ORDER_CANCELED',
          'o-3': 'rejected OVERTAKEN',
        });
        assert.deepEqual(toldKeys(), [`${notice.noticeId}:o-1`]);
      });

      it('never tells a date that has passed by now', async () => {
        const notice = await delayed(aNotice(), 'o-1');
        services = { ...services, today: () => '2026-11-30' };
        assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
        assert.deepEqual(await statesOf(store, notice), { 'o-1': 'rejected DATE_IN_PAST' });
        assert.equal(gateway.calls, 0);
      });

      it('records as undeliverable who left no number, without a call', async () => {
        const notice = await delayed(aNotice(), 'o-1');
        await store.query("update orders set phone = ''");
        assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
        assert.deepEqual(await statesOf(store, notice), { 'o-1': 'undeliverable' });
        assert.equal(gateway.calls, 0);
      });

      it('answers for each by what the gateway says of it', async () => {
        const ids = ['delivered', 'permanent', 'unconfirmed', 'retriable'] as const;
        const notice = await delayed(aNotice(), ...ids);
        gateway.answer = ({ key }) => ids.find((id) => key.endsWith(id)) ?? 'delivered';
        assert.deepEqual(await run(...ids.map((id) => anEntry(notice, id))), [
          'done',
          'done',
          'done',
          'retriable',
        ]);
        assert.deepEqual(await statesOf(store, notice), {
          delivered: 'notified',
          permanent: 'undeliverable',
          unconfirmed: 'unconfirmed',
          retriable: 'delayed',
        });
        const rows = await readLedger(store);
        assert.equal(rows.find((row) => row.orderId === 'permanent')?.note, 'as told');
        // The retry sends: nothing keeps it from doing so.
        gateway.answer = () => 'delivered';
        assert.deepEqual(await run(anEntry(notice, 'retriable', { attempt: 2 })), ['done']);
        assert.equal((await statesOf(store, notice))['retriable'], 'notified');
      });

      it('blames the one that makes the gateway refuse a call, and sends its neighbours', async () => {
        const notice = await delayed(aNotice(), 'o-1', 'o-2', 'o-3');
        gateway.answer = ({ key }) => (key.endsWith('o-2') ? new GatewayRefused('400') : 'delivered');
        const batch = ['o-1', 'o-2', 'o-3'].map((id) => anEntry(notice, id));
        assert.deepEqual(await run(...batch), ['done', 'retriable', 'done']);
        assert.equal((await readLedger(store)).find((row) => row.orderId === 'o-2')?.sending, false);
      });

      it('waits without losing an attempt while the gateway is away, and sends later', async () => {
        const notice = await delayed(aNotice(), 'o-1');
        gateway.answer = () => gatewayAway;
        assert.deepEqual(await run(anEntry(notice, 'o-1')), ['infrastructure']);
        assert.deepEqual(await statesOf(store, notice), { 'o-1': 'delayed' });
        gateway.answer = () => 'delivered';
        assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
        assert.equal(gateway.told.length, 1);
      });

      it('never tells an outdated date after waiting', async () => {
        const notice = await delayed(aNotice(), 'o-1');
        gateway.answer = () => gatewayAway;
        await run(anEntry(notice, 'o-1'));
        await delay(services).run([anEntry(aNotice({ newShipDate: '2026-12-01' }), 'o-1')]);
        gateway.answer = () => 'delivered';
        assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
        assert.deepEqual(await statesOf(store, notice), { 'o-1': 'rejected OVERTAKEN' });
        assert.deepEqual(gateway.told, []);
      });

      it('fails what never was delayed', async () => {
        await storeOrders(store, ['o-1']);
        assert.deepEqual(await run(anEntry(aNotice(), 'o-1')), ['failed']);
      });
    });

  /** Sends, and dies between the gateway's answer and the ledger: the ledger can't be reached any more. */
  async function dieAfterSending(entry: ReturnType<typeof anEntry>): Promise<void> {
    gateway.afterAccepting = async () => {
      await store.query('alter table ledger rename to ledger_away');
    };
    await assert.rejects(tms(services).run([entry]));
    await store.query('alter table ledger_away rename to ledger');
    gateway.afterAccepting = () => undefined;
  }

  describe('when a run died between the gateway and the ledger', () => {
    it('sends again with the same key while the gateway recognizes it', async () => {
      const notice = await delayed(aNotice(), 'o-1');
      await dieAfterSending(anEntry(notice, 'o-1'));
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'delayed' });
      assert.deepEqual(await run(anEntry(notice, 'o-1', { redelivered: true })), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified' });
      assert.equal(gateway.calls, 2);
      assert.equal(gateway.told.length, 1);
    });

    it('does not send again once the gateway has forgotten the key', async () => {
      const notice = await delayed(aNotice(), 'o-1');
      await dieAfterSending(anEntry(notice, 'o-1'));
      await passes(86_400_001);
      assert.deepEqual(await run(anEntry(notice, 'o-1', { redelivered: true })), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'unconfirmed' });
      assert.equal(gateway.told.length, 1);
    });

    it('sends what only waited long, and was never begun', async () => {
      const notice = await delayed(aNotice(), 'o-1');
      await passes(86_400_001);
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified' });
    });

    it('does not send again what the gateway may have taken before it went away for longer than it remembers', async () => {
      const notice = await delayed(aNotice(), 'o-1');
      gateway.afterAccepting = () => {
        throw new InfrastructureError('cut');
      };
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['infrastructure']);
      gateway.afterAccepting = () => undefined;
      await passes(50_000_000);
      gateway.answer = () => gatewayAway;
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['infrastructure']);
      gateway.answer = () => 'delivered';
      await passes(50_000_000); // more than a day since the first send, less since the second
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'unconfirmed' });
      assert.equal(gateway.told.length, 1);
    });

    it('sends after an outage longer than the gateway remembers, if nothing can have been sent before', async () => {
      const notice = await delayed(aNotice(), 'o-1');
      gateway.answer = () => new InfrastructureError('refused the connection', { nothingDone: true });
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['infrastructure']);
      await passes(86_400_001);
      gateway.answer = () => 'delivered';
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified' });
    });

    it('waits, then calls it unconfirmed, with a gateway that recognizes no keys', async () => {
      gateway = toldGateway('never');
      services = theServices(store, gateway);
      const notice = await delayed(aNotice(), 'o-1');
      await dieAfterSending(anEntry(notice, 'o-1'));
      // Another process may be at it still.
      assert.deepEqual(await run(anEntry(notice, 'o-1', { redelivered: true })), ['infrastructure']);
      await passes(services.sendInFlightMs);
      assert.deepEqual(await run(anEntry(notice, 'o-1', { redelivered: true })), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'unconfirmed' });
      assert.equal(gateway.told.length, 1);
    });

    it('lets only one of two send at once with a gateway that recognizes no keys', async () => {
      gateway = toldGateway('never');
      services = theServices(store, gateway);
      const notice = await delayed(aNotice(), 'o-1', 'o-2');
      const batch = ['o-1', 'o-2'].map((id) => anEntry(notice, id));
      const answers = await Promise.all([run(...batch), run(...batch.toReversed())]);
      assert.equal(gateway.told.length, 2);
      assert.ok(answers.flat().every((kind) => kind === 'done' || kind === 'infrastructure'));
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified', 'o-2': 'notified' });
    });
  });

  describe('with the simulator over HTTP', () => {
    let simulator: Simulator;
    const folder = temporaryFolder();
    before(async () => {
      simulator = await startSimulator(folder.path);
    });
    after(async () => {
      await simulator.stop();
      folder.remove();
    });

    it('tells each customer once, also when the answer of a call is lost', async () => {
      const account = simulator.account();
      const http = gatewayAt(account.url, { idempotentForMs: 86_400_000 });
      services = theServices(store, http);
      const ids = Array.from({ length: 250 }, (_, i) => `o-${i}`);
      const notice = await delayed(aNotice(), ...ids);
      const batch = ids.map((id) => anEntry(notice, id));
      await account.faults({ dropAfter: true, times: 1 });
      assert.ok((await run(...batch)).every((kind) => kind === 'infrastructure'));
      assert.ok((await run(...batch)).every((kind) => kind === 'done'));
      assert.ok(Object.values(await statesOf(store, notice)).every((state) => state === 'notified'));
      const deliveries = await account.deliveries();
      assert.equal(deliveries.length, ids.length);
      assert.equal(new Set(deliveries.map(({ key }) => key)).size, ids.length);
      await http.close();
    });

    it('never sends again what a gateway without keys may have taken', async () => {
      const account = simulator.account();
      await account.faults({ dropAfter: true, times: 1 });
      const http = gatewayAt(account.url);
      services = theServices(store, http);
      const notice = await delayed(aNotice(), 'o-1');
      assert.deepEqual(await run(anEntry(notice, 'o-1')), ['done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'unconfirmed' });
      assert.equal((await account.deliveries()).length, 1);
      await http.close();
    });
  });
});
