import assert from 'node:assert/strict';
import { pino } from 'pino';
import delay from '../../src/actors/delay.ts';
import validation from '../../src/actors/validation.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { addDays } from '../../src/rules/dates.ts';
import type { NoticeHeader } from '../../src/rules/notice.ts';
import { type Store, transaction } from '../../src/store/store.ts';
import {
  emptyTables,
  migratedDatabase,
  readLedger,
  statesOf,
  storeLedger,
  storeOrders,
} from '../support/database.ts';
import { theServices, toldGateway } from '../support/gateway.ts';
import { aNotice, anEntry, aToday } from '../support/makers.ts';
import { until } from '../support/wait.ts';

describe('the delay step', () => {
  let store: Store;
  let drop: () => Promise<void>;
  const lostTransactions: string[] = [];
  before(async () => {
    const log = pino({ level: 'debug' }, { write: (line: string) => lostTransactions.push(line) });
    ({ store, drop } = await migratedDatabase({ log }));
  });
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const run = async (...batch: ReturnType<typeof anEntry>[]) =>
    (await delay(theServices(store, toldGateway())).run(batch)).map(({ kind }) => kind);
  const orderIs = async (orderId: string) =>
    (
      await store.query(
        `select expected_ship_date as date, delay_count as delays, last_notice_id as notice
         from orders where order_id = $1`,
        [orderId],
      )
    )[0];

  /** Begins `work` while somebody else has an order locked, and lets go once so many wait for a lock. */
  async function whileLocked<T>(orderId: string, waiting: number, work: () => Promise<T>): Promise<T> {
    let working: Promise<T> | undefined;
    await transaction(store, async (tx) => {
      await tx.query('select 1 from orders where order_id = $1 for update', [orderId]);
      working = work();
      await untilWaiting(waiting);
    });
    return working as Promise<T>;
  }

  const untilWaiting = (waiting: number) =>
    until(
      async () => {
        const [row] = await store.query(
          `select count(*)::int as n from pg_stat_activity
           where wait_event_type = 'Lock' and datname = current_database()`,
        );
        return row?.['n'] === waiting;
      },
      { what: 'all wait for the lock' },
    );

  it('changes the order and writes the ledger', async () => {
    await storeOrders(store, ['o-1', 'o-2']);
    const notice = aNotice();
    assert.deepEqual(await run(anEntry(notice, 'o-2'), anEntry(notice, 'o-1')), ['forward', 'forward']);
    assert.deepEqual(await statesOf(store, notice), { 'o-1': 'delayed', 'o-2': 'delayed' });
    assert.deepEqual(await orderIs('o-1'), { date: '2026-11-29', delays: 1, notice: notice.noticeId });
    const [row] = await readLedger(store);
    assert.equal(row?.oldShipDate, '2026-11-22');
    assert.equal(row?.newShipDate, '2026-11-29');
    assert.equal(row?.settled, false);
  });

  it('judges again: what changed since validation is rejected', async () => {
    await storeOrders(store, ['o-1', { orderId: 'o-2', status: 'shipped' }]);
    const [older, newer] = [aNotice(), aNotice({ newShipDate: '2026-11-25' })];
    await run(anEntry(newer, 'o-1'));
    assert.deepEqual(await run(anEntry(older, 'o-1'), anEntry(older, 'o-2'), anEntry(older, 'o-3')), [
      'done',
      'done',
      'done',
    ]);
    assert.deepEqual(await statesOf(store, older), {
      'o-1': 'rejected OVERTAKEN',
      'o-2': 'rejected ORDER_SHIPPED',
      'o-3': 'rejected ORDER_NOT_FOUND',
    });
    assert.deepEqual(await orderIs('o-1'), { date: '2026-11-25', delays: 1, notice: newer.noticeId });
  });

  it('forwards again what it delayed before, without delaying it twice', async () => {
    await storeOrders(store, ['o-1']);
    const notice = aNotice();
    assert.deepEqual(await run(anEntry(notice, 'o-1')), ['forward']);
    assert.deepEqual(await run(anEntry(notice, 'o-1', { redelivered: true })), ['forward']);
    assert.equal((await orderIs('o-1'))?.['delays'], 1);
  });

  it('skips what is settled', async () => {
    await storeOrders(store, ['rejected', 'notified', 'failed']);
    const notice = aNotice();
    const states = ['rejected', 'notified', 'failed'] as const;
    for (const state of states) await storeLedger(store, notice, state, state);
    assert.deepEqual(await run(...states.map((state) => anEntry(notice, state))), ['done', 'done', 'done']);
    assert.equal((await orderIs('notified'))?.['delays'], 0);
  });

  it('judges two notices for one order one after the other, in the order of the batch', async () => {
    await storeOrders(store, ['o-1', 'o-2']);
    const [first, second] = [aNotice(), aNotice({ newShipDate: '2026-12-05' })];
    assert.deepEqual(
      await run(
        anEntry(first, 'o-1'),
        anEntry(second, 'o-1'),
        anEntry(second, 'o-2'),
        anEntry(first, 'o-2'), // the older one comes too late
      ),
      ['forward', 'forward', 'forward', 'done'],
    );
    assert.deepEqual(await statesOf(store, first), { 'o-1': 'delayed', 'o-2': 'rejected OVERTAKEN' });
    assert.deepEqual(await statesOf(store, second), { 'o-1': 'delayed', 'o-2': 'delayed' });
    assert.deepEqual(await orderIs('o-1'), { date: '2026-12-05', delays: 2, notice: second.noticeId });
    const dates = (await readLedger(store)).map((row) => [row.orderId, row.oldShipDate]);
    assert.deepEqual(dates, [
      ['o-1', '2026-11-22'],
      ['o-2', '2026-12-05'],
      ['o-1', '2026-11-29'],
      ['o-2', '2026-11-22'],
    ]);
  });

  it('takes two batches over the same orders at once, in opposite order', async () => {
    const ids = Array.from({ length: 300 }, (_, i) => `o-${i}`);
    await storeOrders(store, ids);
    // Also ids whose order differs between bytes and UTF-16.
    const odd = ['o-🌽', 'o-\uff5e'];
    await storeOrders(store, odd);
    const all = [...ids, ...odd];
    const notices = [aNotice({ newShipDate: '2026-11-25' }), aNotice({ newShipDate: '2026-11-26' })];
    const batches = [
      all.map((id) => anEntry(notices[0]!, id)),
      all.toReversed().map((id) => anEntry(notices[1]!, id)),
    ];
    lostTransactions.length = 0;
    // Both get as far as they come without the one in the middle; in different orders, that ends in a deadlock.
    const answers = await whileLocked('o-150', 2, () => Promise.all(batches.map((batch) => run(...batch))));
    for (const one of answers) assert.equal(one.length, all.length);
    assert.deepEqual(lostTransactions, []);
    // Whoever came second: the newer notice has the last word.
    const rows = await store.query(
      'select count(*)::int as n from orders where last_notice_id = $1 and expected_ship_date = $2',
      [notices[1]?.noticeId, '2026-11-26'],
    );
    assert.deepEqual(rows, [{ n: all.length }]);
    const ledger = await readLedger(store);
    assert.equal(ledger.length, 2 * all.length);
    const delays = ledger.filter((row) => row.state === 'delayed').length;
    const [sum] = await store.query('select sum(delay_count)::int as n from orders');
    assert.equal(sum?.['n'], delays);
  });

  it('forwards, not rejects, what another delivery of the same message delays in the meantime', async () => {
    await storeOrders(store, ['o-1', 'o-2']);
    const notice = aNotice();
    const batch = ['o-1', 'o-2', 'o-none'].map((id) => anEntry(notice, id));
    // All have read the ledger by the time they get the lock.
    const answers = await whileLocked('o-1', 3, () =>
      Promise.all([run(...batch), run(...batch), run(...batch)]),
    );
    for (const one of answers) assert.deepEqual(one, ['forward', 'forward', 'done']);
    assert.equal((await orderIs('o-1'))?.['delays'], 1);
    assert.deepEqual(await statesOf(store, notice), {
      'o-1': 'delayed',
      'o-2': 'delayed',
      'o-none': 'rejected ORDER_NOT_FOUND',
    });
  });

  it('writes nothing of a batch in which one order breaks the statement, and blames the batch for it', async () => {
    await storeOrders(store, ['o-1', 'o-2']);
    const notice = aNotice();
    await assert.rejects(
      run(anEntry(notice, 'o-1'), anEntry(notice, { orderId: 'o-2', detail: 'a\0b' })),
      (error) => !(error instanceof InfrastructureError),
    );
    assert.deepEqual(await readLedger(store), []);
    assert.equal((await orderIs('o-1'))?.['delays'], 0);
  });

  describe('with what validation judged', () => {
    /** What validation forwards of these orders, which must be all of them. */
    async function judged(notice: NoticeHeader, ...orderIds: string[]) {
      const batch = orderIds.map((orderId) => anEntry(notice, orderId));
      const answers = await validation(theServices(store, toldGateway())).run(batch);
      return answers.map((answer) => {
        assert.ok(answer.kind === 'forward' && answer.item?.version, 'expected it to be judged all right');
        return anEntry(notice, answer.item);
      });
    }

    it('changes the orders and writes the ledger in one statement, and judges nothing again', async () => {
      await storeOrders(store, ['o-1', 'o-2']);
      const notice = aNotice({ detail: 'Hail' });
      const batch = await judged(notice, 'o-2', 'o-1');
      const strict = { ...theServices(store, toldGateway()), limits: { maxDaysLate: 0, maxDelays: 0 } };
      lostTransactions.length = 0;
      const answers = await delay(strict).run(batch);
      assert.deepEqual(
        answers.map(({ kind }) => kind),
        ['forward', 'forward'],
      );
      assert.deepEqual(lostTransactions, []);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'delayed', 'o-2': 'delayed' });
      assert.deepEqual(await orderIs('o-1'), { date: '2026-11-29', delays: 1, notice: notice.noticeId });
      assert.equal((await readLedger(store))[0]?.oldShipDate, aToday);
    });

    it('judges all of a batch again if one order has changed since', async () => {
      await storeOrders(store, ['o-1', 'o-2', 'o-3']);
      const notice = aNotice();
      const batch = await judged(notice, 'o-1', 'o-2', 'o-3');
      await store.query("update orders set status = 'canceled' where order_id = 'o-2'");
      await store.query("delete from orders where order_id = 'o-3'");
      assert.deepEqual(await run(...batch), ['forward', 'done', 'done']);
      assert.deepEqual(await statesOf(store, notice), {
        'o-1': 'delayed',
        'o-2': 'rejected ORDER_CANCELED',
        'o-3': 'rejected ORDER_NOT_FOUND',
      });
      assert.equal((await orderIs('o-1'))?.['delays'], 1);
    });

    it('judges again what somebody changes while it waits for the lock', async () => {
      await storeOrders(store, ['o-1', 'o-2']);
      const notice = aNotice();
      const batch = await judged(notice, 'o-1', 'o-2');
      let answers: Promise<string[]> | undefined;
      await transaction(store, async (tx) => {
        await tx.query("update orders set status = 'shipped' where order_id = 'o-2'");
        answers = run(...batch);
        await untilWaiting(1);
      });
      assert.deepEqual(await answers, ['forward', 'done']);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'delayed', 'o-2': 'rejected ORDER_SHIPPED' });
    });

    it('lets two notices for one order, judged side by side, count one after the other', async () => {
      await storeOrders(store, ['o-1']);
      const [first, second] = [aNotice(), aNotice({ newShipDate: '2026-12-05' })];
      const batch = [...(await judged(second, 'o-1')), ...(await judged(first, 'o-1'))];
      assert.deepEqual(await run(...batch), ['forward', 'done']);
      assert.deepEqual(await statesOf(store, first), { 'o-1': 'rejected OVERTAKEN' });
      assert.deepEqual(await orderIs('o-1'), { date: '2026-12-05', delays: 1, notice: second.noticeId });
    });

    it('forwards again what it delayed before, without delaying it twice', async () => {
      await storeOrders(store, ['o-1', 'o-2']);
      const notice = aNotice();
      const batch = await judged(notice, 'o-1', 'o-2');
      assert.deepEqual(await run(...batch.slice(0, 1)), ['forward']);
      assert.deepEqual(await run(...batch), ['forward', 'forward']);
      assert.deepEqual([(await orderIs('o-1'))?.['delays'], (await orderIs('o-2'))?.['delays']], [1, 1]);
    });

    it('judges again once the day has passed', async () => {
      await storeOrders(store, ['o-1']);
      const notice = aNotice();
      const batch = await judged(notice, 'o-1');
      const later = { ...theServices(store, toldGateway()), today: () => addDays(notice.newShipDate, 1) };
      const answers = await delay(later).run(batch);
      assert.deepEqual(answers, [{ kind: 'done' }]);
      assert.deepEqual(await statesOf(store, notice), { 'o-1': 'rejected DATE_IN_PAST' });
      assert.equal((await orderIs('o-1'))?.['delays'], 0);
    });
  });
});
