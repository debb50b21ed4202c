import assert from 'node:assert/strict';
import delay from '../../src/actors/delay.ts';
import tms from '../../src/actors/tms.ts';
import validation from '../../src/actors/validation.ts';
import { runLegacy } from '../../src/legacy/run.ts';
import { startLegacy } from '../../src/legacy/start.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { NoticeHeader } from '../../src/rules/notice.ts';
import type { Services } from '../../src/services.ts';
import { listFailures } from '../../src/store/failures.ts';
import type { Store } from '../../src/store/store.ts';
import {
  allFailures,
  emptyTables,
  migratedDatabase,
  statesOf,
  storeIntake,
  storeOrders,
} from '../support/database.ts';
import { gatewayAway, type ToldGateway, theServices, toldGateway } from '../support/gateway.ts';
import { aNotice, anEntry } from '../support/makers.ts';
import { until } from '../support/wait.ts';

describe('the legacy run', () => {
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

  const aLegacyNotice = (parts: Partial<NoticeHeader> = {}) => aNotice({ path: 'legacy', ...parts });
  const items = (...orderIds: string[]) => orderIds.map((orderId) => ({ orderId }));
  const run = (maxAttempts = 3) => runLegacy({ services, maxAttempts, signal: new AbortController().signal });
  const waiting = async () =>
    await store.query(
      'select chunk_no, attempts from intake where done_at is null order by created_at, chunk_no',
    );

  it('settles what waits on its path, oldest first, one order after another', async () => {
    await storeOrders(store, ['o-1', 'o-2', 'o-3', 'o-4', 'o-5']);
    const [first, second, other] = [aLegacyNotice(), aLegacyNotice(), aNotice()];
    await storeIntake(store, first, [items('o-2', 'o-1'), items('o-3', 'o-none')]);
    await storeIntake(store, second, [items('o-4')]);
    await storeIntake(store, other, [items('o-5')]);
    assert.equal(await run(), true);
    assert.deepEqual(await statesOf(store, first), {
      'o-1': 'notified',
      'o-2': 'notified',
      'o-3': 'notified',
      'o-none': 'rejected ORDER_NOT_FOUND',
    });
    assert.deepEqual(await statesOf(store, second), { 'o-4': 'notified' });
    assert.deepEqual(
      gateway.told.map(({ key }) => key.split(':')[1]),
      ['o-2', 'o-1', 'o-3', 'o-4'],
    );
    assert.equal(gateway.calls, 4);
    assert.equal((await waiting()).length, 1, 'only the chunk of path actors is left');
    assert.deepEqual(await statesOf(store, other), {});
  });

  it('comes to the same outcome as the actors', async () => {
    const orders = [
      { orderId: 'open' },
      { orderId: 'en', locale: 'en' },
      { orderId: 'canceled', status: 'canceled' },
      { orderId: 'shipped', status: 'shipped' },
      { orderId: 'delivered', status: 'delivered' },
      { orderId: 'claim', status: 'claim' },
      { orderId: 'late-promise', promisedShipDate: '2026-11-29' },
      { orderId: 'later-promise', promisedShipDate: '2026-12-05' },
      { orderId: 'old-promise', promisedShipDate: '2026-10-01' },
      { orderId: 'no-phone', phone: '' },
      { orderId: 'wrong-phone' },
      { orderId: 'own-date' },
      { orderId: 'in-past' },
    ] as const;
    const chunk = [
      ...orders.map(({ orderId }) =>
        orderId === 'own-date'
          ? { orderId, newShipDate: '2026-12-10' }
          : orderId === 'in-past'
            ? { orderId, newShipDate: '2026-11-21' }
            : { orderId },
      ),
      { orderId: 'none' },
    ];
    gateway.answer = ({ key }) => (key.endsWith('wrong-phone') ? 'permanent' : 'delivered');

    await storeOrders(store, [...orders]);
    const legacy = aLegacyNotice();
    await storeIntake(store, legacy, [chunk]);
    await run();
    const byLegacy = await statesOf(store, legacy);
    const toldByLegacy = gateway.told.map(({ text, to, template }) => ({ text, to, template }));

    await emptyTables(store);
    gateway.told.length = 0;
    await storeOrders(store, [...orders]);
    const notice = aNotice();
    let batch = chunk.map((item) => anEntry(notice, item));
    for (const step of [validation, delay, tms]) {
      const answers = await step(services).run(batch);
      batch = batch.filter((_, i) => answers[i]?.kind === 'forward');
    }
    assert.deepEqual(byLegacy, await statesOf(store, notice));
    assert.equal(Object.keys(byLegacy).length, chunk.length);
    assert.deepEqual(
      toldByLegacy,
      gateway.told.map(({ text, to, template }) => ({ text, to, template })),
    );
  });

  it('stops when the gateway is away, and goes on in the next run without repeating anything', async () => {
    await storeOrders(store, ['o-1', 'o-2', 'o-3']);
    const notice = aLegacyNotice();
    await storeIntake(store, notice, [items('o-1', 'o-2', 'o-3')]);
    gateway.answer = ({ key }) => (key.endsWith('o-2') ? gatewayAway : 'delivered');
    await assert.rejects(run(), InfrastructureError);
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified', 'o-2': 'delayed' });
    assert.deepEqual(await waiting(), [{ chunk_no: 0, attempts: 0 }]);
    gateway.answer = () => 'delivered';
    await run();
    assert.equal(gateway.told.length, 3);
    assert.deepEqual(await waiting(), []);
    assert.deepEqual(await store.query('select distinct delay_count from orders'), [{ delay_count: 1 }]);
  });

  it('tells nobody twice after a crash between the gateway and the ledger', async () => {
    await storeOrders(store, ['o-1', 'o-2']);
    const notice = aLegacyNotice();
    await storeIntake(store, notice, [items('o-1', 'o-2')]);
    gateway.afterAccepting = async () => {
      const [lock] = await store.query<{ pid: number }>(
        "select pid from pg_locks where locktype = 'advisory' and granted",
      );
      assert.ok(lock, 'the run holds its lock');
      throw new InfrastructureError('cut');
    };
    await assert.rejects(run());
    gateway.afterAccepting = () => undefined;
    await run();
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified', 'o-2': 'notified' });
    assert.equal(gateway.told.length, 2);
  });

  it('gives an order up after so many runs, and holds up no other', async () => {
    await storeOrders(store, ['o-1', 'o-2', 'o-3', 'o-4']);
    const [notice, next] = [aLegacyNotice(), aLegacyNotice()];
    await storeIntake(store, notice, [
      [{ orderId: 'o-1' }, { orderId: 'o-2', detail: 'a\0b' }, { orderId: 'o-3' }],
    ]);
    await storeIntake(store, next, [items('o-4')]);
    gateway.answer = ({ key }) => (key.endsWith('o-3') ? 'retriable' : 'delivered');
    await run(2);
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified', 'o-3': 'delayed' });
    assert.deepEqual(await statesOf(store, next), { 'o-4': 'notified' });
    assert.deepEqual(await waiting(), [{ chunk_no: 0, attempts: 1 }]);
    assert.deepEqual(await listFailures(store), []);
    await run(2);
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'notified', 'o-2': 'failed', 'o-3': 'failed' });
    assert.deepEqual(await waiting(), []);
    const failures = await allFailures(store);
    assert.deepEqual(
      failures.map(({ step, messageId, errorClass, attempt }) => ({ step, messageId, errorClass, attempt })),
      [
        { step: 'legacy', messageId: `${notice.noticeId}:0:o-3`, errorClass: 'NotSentError', attempt: 2 },
        { step: 'legacy', messageId: `${notice.noticeId}:0:o-2`, errorClass: 'error', attempt: 2 },
      ],
    );
    assert.deepEqual(JSON.parse(String(failures[0]?.body)), {
      chunks: [{ header: notice, items: items('o-3') }],
    });
  });

  it('gives up at once what it can not read', async () => {
    await storeIntake(store, aLegacyNotice(), [[{ orderId: 17 }]]);
    await run();
    assert.match((await listFailures(store))[0]?.errorMessage ?? '', /items\[0\]\.orderId/);
    assert.deepEqual(await waiting(), []);
  });

  it('runs in one process at a time', async () => {
    await storeOrders(store, ['o-1']);
    await storeIntake(store, aLegacyNotice(), [items('o-1')]);
    let second: boolean | undefined;
    gateway.afterAccepting = async () => {
      second = await run();
    };
    assert.equal(await run(), true);
    assert.equal(second, false);
    assert.equal(gateway.told.length, 1);
  });

  it('wakes again and again, survives a run that fails, and finishes the order at hand when stopped', async () => {
    await storeOrders(store, ['o-1', 'o-2', 'o-3']);
    gateway.answer = () => gatewayAway;
    const legacy = startLegacy({ services, intervalMs: 5, maxAttempts: 3 });
    const notice = aLegacyNotice();
    await storeIntake(store, notice, [items('o-1')]);
    await until(() => gateway.calls > 1, { what: 'a second run has tried' });
    gateway.answer = () => 'delivered';
    await until(async () => (await statesOf(store, notice))['o-1'] === 'notified', {
      what: 'a later run sends',
    });

    const last = aLegacyNotice();
    let stopped: Promise<void> | undefined;
    gateway.afterAccepting = () => {
      stopped ??= legacy.stop();
    };
    await storeIntake(store, last, [items('o-2', 'o-3')]);
    await until(() => stopped !== undefined, { what: 'it is stopped in the middle of an order' });
    await stopped;
    assert.deepEqual(await statesOf(store, last), { 'o-2': 'notified' });
    assert.equal((await waiting()).length, 1);
  });
});
