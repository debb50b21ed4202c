import assert from 'node:assert/strict';
import { planFor } from '../../src/demo/plan.ts';
import { generateOrders, mulberry32 } from '../../src/import/generated.ts';
import { aToday } from '../support/makers.ts';

const limits = { maxDaysLate: 30, maxDelays: 3 };

function outcomes(size: number): Record<string, number> {
  const { orders, notice } = generateOrders({ size, today: aToday });
  const counts: Record<string, number> = {};
  for (const state of planFor([notice], orders, aToday, limits).expected.values())
    counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

describe('generated orders', () => {
  it('are 100,000 of 50 sellers, each with an id of its own, and a notice for exactly 30,000', () => {
    const { orders, notice } = generateOrders({ today: aToday });
    assert.equal(orders.length, 100_000);
    assert.equal(new Set(orders.map(({ sellerId, orderId }) => `${sellerId} ${orderId}`)).size, 100_000);
    assert.equal(new Set(orders.map(({ sellerId }) => sellerId)).size, 50);
    assert.ok(orders.filter(({ sellerId }) => sellerId === 'demo-01').length > 30_000);
    assert.equal(new Set(notice.orderIds).size, 30_000);
    assert.equal(notice.sellerId, 'demo-01');
  });

  it('are the same every time', () => {
    assert.deepEqual(
      generateOrders({ size: 1_000, today: aToday }),
      generateOrders({ size: 1_000, today: aToday }),
    );
    const random = mulberry32(1);
    // As published implementations give for seed 1.
    assert.deepEqual(
      [random(), random()].map((value) => Math.floor(value * 2 ** 32)),
      [2_693_262_067, 11_749_833],
    );
  });

  for (const size of [100, 3_000, 100_000])
    it(`${size} of them come to every kind of end`, () => {
      const counts = outcomes(size);
      assert.deepEqual(Object.keys(counts).toSorted(), [
        'notified',
        'rejected ALREADY_NOTIFIED',
        'rejected CLAIM_IN_PROGRESS',
        'rejected DATE_NOT_LATER',
        'rejected DATE_TOO_FAR',
        'rejected ORDER_CANCELED',
        'rejected ORDER_DELIVERED',
        'rejected ORDER_NOT_FOUND',
        'rejected ORDER_SHIPPED',
        'undeliverable',
      ]);
      assert.equal(
        Object.values(counts).reduce((sum, n) => sum + n, 0),
        size * 0.3,
      );
      assert.ok((counts['notified'] ?? 0) >= size * 0.2);
    });
});
