import assert from 'node:assert/strict';
import { upsertOrders } from '../../src/store/orders.ts';
import { addApiKey, addSellers, sellerOf } from '../../src/store/sellers.ts';
import type { Store } from '../../src/store/store.ts';
import { anOrderRow, emptyTables, migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

describe('storing orders', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const all = () =>
    store.query(
      'select order_id, status, promised_ship_date, expected_ship_date, delay_count from orders order by 1',
    );
  const row = (order_id: string, status: string, promised: string, expected = promised, delay_count = 0) => ({
    order_id,
    status,
    promised_ship_date: promised,
    expected_ship_date: expected,
    delay_count,
  });

  it('adds new orders and changes known ones', async () => {
    await upsertOrders(store, [anOrderRow('o-1'), anOrderRow('o-2')]);
    await upsertOrders(store, [
      anOrderRow({ orderId: 'o-2', status: 'shipped', promisedShipDate: '2026-11-25' }),
      anOrderRow({ orderId: 'o-3', expectedShipDate: '2026-11-30' }),
    ]);
    assert.deepEqual(await all(), [
      row('o-1', 'open', '2026-11-22'),
      row('o-2', 'shipped', '2026-11-25'),
      row('o-3', 'open', '2026-11-22', '2026-11-30'),
    ]);
  });

  it('lets the last of two rows with one key count', async () => {
    await upsertOrders(store, [anOrderRow('o-1'), anOrderRow({ orderId: 'o-1', status: 'canceled' })]);
    assert.deepEqual(await all(), [row('o-1', 'canceled', '2026-11-22')]);
  });

  it('leaves the date of a delayed order alone', async () => {
    await upsertOrders(store, [anOrderRow('o-1')]);
    await store.query(
      "update orders set expected_ship_date = '2026-11-29', delay_count = 1, last_notice_id = $1",
      [aNoticeId()],
    );
    await upsertOrders(store, [anOrderRow({ orderId: 'o-1', status: 'shipped' })]);
    assert.deepEqual(await all(), [row('o-1', 'shipped', '2026-11-22', '2026-11-29', 1)]);
  });

  it('takes any text as an id, and any customer', async () => {
    const odd = ['"', '\\', '{a,b}', "o'1", 'NULL', '', ' ', '주문-1', '🌽', 'a\nb'];
    await upsertOrders(
      store,
      odd.map((orderId) => anOrderRow({ orderId, customerName: `${orderId}"\\` })),
    );
    const rows = await store.query<{ order_id: string; customer_name: string }>(
      'select order_id, customer_name from orders',
    );
    assert.deepEqual(new Set(rows.map((one) => one.order_id)), new Set(odd));
    assert.ok(rows.every((one) => one.customer_name === `${one.order_id}"\\`));
  });
});

describe('sellers and their keys', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());

  it('know whose key it is, and keep only its hash', async () => {
    const key = await addApiKey(store, 's-1');
    assert.equal(await sellerOf(store, key), 's-1');
    assert.equal(await sellerOf(store, `${key}x`), undefined);
    const kept = await store.query<{ row: string }>('select api_keys::text as row from api_keys');
    assert.ok(!kept[0]?.row.includes(key));
  });

  it('may have several keys, and lose one', async () => {
    const [first, second] = [await addApiKey(store, 's-2'), await addApiKey(store, 's-2')];
    await store.query(
      "update api_keys set revoked_at = now() where seller_id = 's-2' and key_hash = sha256($1)",
      [Buffer.from(first)],
    );
    assert.equal(await sellerOf(store, first), undefined);
    assert.equal(await sellerOf(store, second), 's-2');
  });

  it('can be added twice', async () => {
    await addSellers(store, ['s-3', 's-4', 's-3']);
    await addSellers(store, ['s-3', 's-5']);
    const rows = await store.query("select seller_id from sellers where seller_id in ('s-3', 's-4', 's-5')");
    assert.equal(rows.length, 3);
  });
});
