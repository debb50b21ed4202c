import assert from 'node:assert/strict';
import { noticesFor } from '../../src/demo/load.ts';
import { planFor } from '../../src/demo/plan.ts';
import { madeUpPhone } from '../../src/import/made-up-phone.ts';
import { checkMapping, type Mapping } from '../../src/import/mapping.ts';
import { wrongNumber } from '../../src/tms/simulator/account.ts';
import { aToday } from '../support/makers.ts';
import { needRealOrders, readAll, readRealOrders } from './files.ts';

const columns = {
  orderId: 'id',
  sellerId: 'seller',
  promisedAt: 'promised',
  handedOverAt: 'handed',
  status: 'state',
  customerId: { column: 'customer', default: '' },
};
const bare = checkMapping('bare', { adapter: 'dispatch-history', columns }) as Mapping;
const withHours = checkMapping('hours', {
  adapter: 'dispatch-history',
  columns: { ...columns, lateHours: 'late' },
}) as Mapping;

/** What becomes of one past order, on 22 November: its status, and the date its seller should have posted. */
async function became(promised: string, handed: string, state: string, late?: string) {
  const text = `id,seller,promised,handed,state,late\no-1,s-1,${promised},${handed},${state},${late ?? ''}`;
  const mappings = [late === undefined ? bare : withHours];
  const { rows, rejects } = await readAll(text, { mappings });
  assert.deepEqual(rejects, []);
  const { order, newShipDate } = rows[0]!;
  assert.equal(order.promisedShipDate, aToday);
  return [order.status, newShipDate];
}

describe('orders as they stood when their promise ran out', () => {
  it('are shipped if handed over in time, whatever became of them later', async () => {
    assert.deepEqual(await became('2017-06-16 12:44:42', '2017-06-15 09:00:00', 'delivered'), [
      'shipped',
      undefined,
    ]);
    assert.deepEqual(await became('2017-06-16 12:44:42', '2017-06-16 12:44:42', 'canceled'), [
      'shipped',
      undefined,
    ]);
  });

  it('are open if handed over late, with the date that was kept in the end, begun days counted', async () => {
    assert.deepEqual(await became('2017-06-16 12:44:42', '2017-06-16 12:44:43', 'delivered'), [
      'open',
      '2026-11-23',
    ]);
    assert.deepEqual(await became('2017-06-16 12:00:00', '2017-06-17 12:00:00', 'shipped'), [
      'open',
      '2026-11-23',
    ]);
    assert.deepEqual(await became('2017-06-16 12:00:00', '2017-06-17 12:00:01', 'shipped'), [
      'open',
      '2026-11-24',
    ]);
  });

  it('go by the hours the file gives, if it does', async () => {
    assert.deepEqual(await became('2017-06-16', '2017-06-19', 'shipped', '48.00'), ['open', '2026-11-24']);
    assert.deepEqual(await became('2017-06-16', '2017-06-19', 'shipped', '0.00'), ['open', '2026-11-23']);
  });

  it('are open, or canceled, if never handed over, and nobody knows a date', async () => {
    assert.deepEqual(await became('2017-06-16', '', 'open'), ['open', undefined]);
    assert.deepEqual(await became('2017-06-16', '', 'canceled'), ['canceled', undefined]);
    assert.deepEqual(await became('2017-06-16', '2017-06-18', 'canceled'), ['canceled', '2026-11-24']);
  });

  it('have a phone number that is always the same, and never a wrong one', async () => {
    assert.equal(madeUpPhone('c-1'), madeUpPhone('c-1'));
    assert.notEqual(madeUpPhone('c-1'), madeUpPhone('c-2'));
    for (let i = 0; i < 20_000; i++) assert.equal(wrongNumber(madeUpPhone(`c-${i}`)), undefined);
  });

  it('of the real file come to the known numbers', async function () {
    needRealOrders(this);
    const { rows, rejects } = await readRealOrders();
    assert.deepEqual(rejects, []);
    assert.equal(rows.length, 35_063);
    assert.equal(new Set(rows.map(({ order }) => `${order.sellerId} ${order.orderId}`)).size, 35_063);
    const late = rows.flatMap(({ order, newShipDate }) => (newShipDate ? [{ order, newShipDate }] : []));
    assert.equal(late.length, 3_088);
    const notices = noticesFor(late, 50_000);
    assert.equal(notices.length, 1_646);
    assert.equal(new Set(notices.map(({ sellerId }) => sellerId)).size, 845);
    const orders = late.map(({ order }) => order);
    const { expected } = planFor(notices, orders, aToday, { maxDaysLate: 30, maxDelays: 3 });
    const counts: Record<string, number> = {};
    for (const state of expected.values()) counts[state] = (counts[state] ?? 0) + 1;
    assert.deepEqual(counts, { notified: 3_056, 'rejected DATE_TOO_FAR': 22, 'rejected ORDER_CANCELED': 10 });
  });
});
