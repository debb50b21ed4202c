import assert from 'node:assert/strict';
import { importOrders } from '../../src/import/import-orders.ts';
import { delayOrders } from '../../src/store/delay.ts';
import { forgetDelays } from '../../src/store/demo.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { aNoticeId, aToday } from '../support/makers.ts';
import { openOrders } from './files.ts';

const file = (...rows: string[]) =>
  openOrders(`order_id,seller_id,promised_ship_date,status\n${rows.join('\n')}`, { chunkSize: 4_096 });

describe('importing orders', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const stored = () =>
    store.rows(
      `select seller_id, order_id, status, promised_ship_date, expected_ship_date, delay_count,
              last_notice_id is not null
       from orders order by 1, 2`,
    );

  it('stores them, adds their sellers, and counts', async () => {
    const counts = await importOrders(
      store,
      await file('o-1,s-1,2026-11-25,open', 'o-1,s-2,2026-11-26,shipped', 'bad', 'o-2,s-1,2026-11-25,open'),
    );
    assert.deepEqual(counts, { rows: 4, imported: 3, rejected: 1, sellers: 2 });
    assert.deepEqual(await stored(), [
      ['s-1', 'o-1', 'open', '2026-11-25', '2026-11-25', 0, false],
      ['s-1', 'o-2', 'open', '2026-11-25', '2026-11-25', 0, false],
      ['s-2', 'o-1', 'shipped', '2026-11-26', '2026-11-26', 0, false],
    ]);
    assert.deepEqual(await store.rows('select seller_id from sellers order by 1'), [['s-1'], ['s-2']]);
  });

  it('lets the last of two rows with one key count', async () => {
    await importOrders(store, await file('o-1,s-1,2026-11-25,open', 'o-1,s-1,2026-11-26,canceled'));
    assert.deepEqual(await stored(), [['s-1', 'o-1', 'canceled', '2026-11-26', '2026-11-26', 0, false]]);
  });

  it('brings orders up to date when repeated, and never undoes a delay', async () => {
    await importOrders(store, await file('o-1,s-1,2026-11-25,open', 'o-2,s-1,2026-11-25,open'));
    await delay('o-1', '2026-11-30');
    await importOrders(store, await file('o-1,s-1,2026-11-26,open', 'o-2,s-1,2026-11-26,open'));
    assert.deepEqual(await stored(), [
      ['s-1', 'o-1', 'open', '2026-11-26', '2026-11-30', 1, true],
      ['s-1', 'o-2', 'open', '2026-11-26', '2026-11-26', 0, false],
    ]);
  });

  it('as new, for the demo, forgets the delays of its own sellers only', async () => {
    const rows = ['o-1,s-1,2026-11-25,open', 'o-1,s-2,2026-11-25,open'];
    await importOrders(store, await file(...rows));
    await delay('o-1', '2026-11-30', 's-1');
    await delay('o-1', '2026-11-30', 's-2');
    const onSellers = async (sellers: readonly string[]) => {
      assert.equal(await forgetDelays(store, sellers), 1);
    };
    await importOrders(store, await file(rows[0]!), { onSellers });
    assert.deepEqual(await stored(), [
      ['s-1', 'o-1', 'open', '2026-11-25', '2026-11-25', 0, false],
      ['s-2', 'o-1', 'open', '2026-11-25', '2026-11-30', 1, true],
    ]);
  });

  it('tells how far it is, and ends where it is told to', async () => {
    const stopping = new AbortController();
    const seen: number[] = [];
    const rows = Array.from({ length: 1_000 }, (_, i) => `o-${i},s-1,2026-11-25,open`);
    await assert.rejects(
      importOrders(store, await file(...rows), {
        signal: stopping.signal,
        onStored(_rows, { imported }) {
          seen.push(imported);
          stopping.abort(new Error('told to stop'));
        },
      }),
      /told to stop/,
    );
    assert.deepEqual(await store.rows('select count(*)::int from orders'), [[seen[0]]]);
    assert.equal(seen.length, 1);
  });

  const delay = async (orderId: string, newShipDate: string, sellerId = 's-1') => {
    const wanted = {
      noticeId: aNoticeId(),
      sellerId,
      orderId,
      newShipDate,
      reason: undefined,
      detail: undefined,
      version: undefined,
    };
    assert.deepEqual(await delayOrders(store, [wanted], aToday, { maxDaysLate: 30, maxDelays: 3 }), [
      'delayed',
    ]);
  };
});
