import assert from 'node:assert/strict';
import { wantedDelay } from '../../src/rules/notice.ts';
import { delayOrders } from '../../src/store/delay.ts';
import { readOrders } from '../../src/store/ledger.ts';
import { beginSending, forgetSending, keepSending, recordEndings } from '../../src/store/sending.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase, storeOrders } from '../support/database.ts';
import { aNotice, aToday } from '../support/makers.ts';

describe('batches in Postgres', () => {
  let store: Store;
  let drop: () => Promise<void>;
  // One connection, so that what it counts is there as soon as it is asked for.
  before(async () => ({ store, drop } = await migratedDatabase({ poolSize: 1 })));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const limits = { maxDaysLate: 30, maxDelays: 3 };
  const ids = Array.from({ length: 5_000 }, (_, i) => `order-${String(i).padStart(8, '0')}`);

  it('update rows in place (HOT), from delayed to notified', async () => {
    await storeOrders(store, ids);
    const notice = aNotice();
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    for (let i = 0; i < wanted.length; i += 500)
      await delayOrders(store, wanted.slice(i, i + 500), aToday, limits);
    for (let i = 0; i < wanted.length; i += 500)
      await recordEndings(
        store,
        wanted.slice(i, i + 500).map(({ noticeId, orderId }) => ({
          noticeId,
          orderId,
          state: 'notified' as const,
          gatewayId: '01900000-0000-7000-8000-000000000000',
        })),
      );
    await store.query('select pg_stat_force_next_flush()');
    const stats = await store.query<{ relname: string; updated: number; hot: number }>(
      `select relname, n_tup_upd::int as updated, n_tup_hot_upd::int as hot from pg_stat_user_tables
         where relname in ('orders', 'ledger') order by 1`,
    );
    assert.deepEqual(stats, [
      { relname: 'ledger', updated: ids.length, hot: ids.length },
      { relname: 'orders', updated: ids.length, hot: ids.length },
    ]);
  });

  it('look rows up by key, whatever the statistics say', async () => {
    await storeOrders(store, ids);
    const notice = aNotice();
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    await delayOrders(store, wanted, aToday, limits);
    // The planner is told the worst: nothing is `delayed`, and there is one notice.
    await store.query("update ledger set state = 'notified', sending_at = now()");
    await store.query('vacuum analyze orders, ledger');
    await store.query("update ledger set state = 'delayed', sending_at = null");
    const batch = wanted.slice(0, 2_000);
    const before = await rowsRead();
    await readOrders(store, batch);
    await delayOrders(store, batch, aToday, limits);
    await beginSending(store, batch);
    await forgetSending(store, batch);
    await keepSending(store, batch, 0);
    await recordEndings(
      store,
      batch.map(({ noticeId, orderId }) => ({ noticeId, orderId, state: 'unconfirmed' as const })),
    );
    const after = await rowsRead();
    assert.equal(after.ledger - before.ledger, 6 * batch.length);
    assert.equal(after.orders - before.orders, 2 * batch.length);
  });

  /** How many rows statements have read so far, by table. */
  async function rowsRead(): Promise<{ ledger: number; orders: number }> {
    await store.query('select pg_stat_force_next_flush()');
    const rows = await store.query<{ relname: string; n: number }>(
      `select relname, (coalesce(idx_tup_fetch, 0) + seq_tup_read)::int as n from pg_stat_user_tables`,
    );
    const of = (name: string) => rows.find(({ relname }) => relname === name)?.n ?? Number.NaN;
    return { ledger: of('ledger'), orders: of('orders') };
  }
});
