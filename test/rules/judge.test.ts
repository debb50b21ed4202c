import assert from 'node:assert/strict';
import { judge, stillTrue } from '../../src/rules/judge.ts';
import { type RejectReason, rejectReasons } from '../../src/rules/notice.ts';
import type { Order } from '../../src/rules/order.ts';
import { anOrder } from '../support/makers.ts';

const older = '01900000-0000-7000-8000-000000000001';
const current = '01900000-0000-7000-8000-000000000002';
const newer = '01900000-0000-7000-8000-000000000003';
const today = '2026-11-22';
const limits = { maxDaysLate: 30, maxDelays: 3 };

describe('judging a delay', () => {
  const good = anOrder({ promisedShipDate: '2026-11-20', expectedShipDate: '2026-11-24' });
  const judged = (order: Order | undefined, newShipDate = '2026-11-30') =>
    judge(order, { noticeId: current, newShipDate }, today, limits);

  it('accepts a later date for an open order', () => assert.equal(judged(good), undefined));

  const rejects: [RejectReason, string, Order | undefined, string?][] = [
    ['ORDER_NOT_FOUND', 'an order the seller does not have', undefined],
    ['ORDER_CANCELED', 'a canceled order', { ...good, status: 'canceled' }],
    ['ORDER_SHIPPED', 'a shipped order', { ...good, status: 'shipped' }],
    ['ORDER_DELIVERED', 'a delivered order', { ...good, status: 'delivered' }],
    ['CLAIM_IN_PROGRESS', 'an order with a claim', { ...good, status: 'claim' }],
    ['OVERTAKEN', 'an order with a newer notice', { ...good, lastNoticeId: newer }],
    ['DATE_IN_PAST', 'yesterday', { ...good, expectedShipDate: '2026-11-20' }, '2026-11-21'],
    ['ALREADY_NOTIFIED', 'the date the customer has', good, '2026-11-24'],
    ['DATE_NOT_LATER', 'a date before the one the customer has', good, '2026-11-23'],
    ['DATE_TOO_FAR', '31 days after the promise', good, '2026-12-21'],
    ['TOO_MANY_DELAYS', 'a fourth delay', { ...good, delayCount: 3 }],
  ];
  for (const [reason, what, order, date] of rejects)
    it(`rejects ${what}: ${reason}`, () => assert.equal(judged(order, date), reason));

  it('has a case for every reject code', () =>
    assert.deepEqual(
      rejects.map(([reason]) => reason),
      [...rejectReasons],
    ));

  const accepts: [string, Order, string?][] = [
    ['today', { ...good, expectedShipDate: '2026-11-20' }, today],
    ['exactly 30 days after the promise', good, '2026-12-20'],
    ['a third delay', { ...good, delayCount: 2 }],
    ['an order last delayed by an older notice', { ...good, lastNoticeId: older }],
  ];
  for (const [what, order, date] of accepts)
    it(`accepts ${what}`, () => assert.equal(judged(order, date), undefined));

  // Each order has two things wrong with it; the one earlier in the list is the answer.
  const both: [RejectReason, RejectReason, Order, string?][] = [
    ['ORDER_CANCELED', 'OVERTAKEN', { ...good, status: 'canceled', lastNoticeId: newer }],
    ['ORDER_SHIPPED', 'DATE_IN_PAST', { ...good, status: 'shipped' }, '2026-11-01'],
    ['ORDER_DELIVERED', 'TOO_MANY_DELAYS', { ...good, status: 'delivered', delayCount: 3 }],
    ['CLAIM_IN_PROGRESS', 'OVERTAKEN', { ...good, status: 'claim', lastNoticeId: newer }],
    ['OVERTAKEN', 'DATE_IN_PAST', { ...good, lastNoticeId: newer }, '2026-11-21'],
    ['DATE_IN_PAST', 'ALREADY_NOTIFIED', { ...good, expectedShipDate: '2026-11-21' }, '2026-11-21'],
    ['DATE_IN_PAST', 'DATE_NOT_LATER', good, '2026-11-21'],
    ['ALREADY_NOTIFIED', 'DATE_TOO_FAR', { ...good, expectedShipDate: '2027-01-30' }, '2027-01-30'],
    ['ALREADY_NOTIFIED', 'TOO_MANY_DELAYS', { ...good, delayCount: 3 }, '2026-11-24'],
    ['DATE_NOT_LATER', 'DATE_TOO_FAR', { ...good, expectedShipDate: '2027-01-30' }, '2027-01-29'],
    ['DATE_TOO_FAR', 'TOO_MANY_DELAYS', { ...good, delayCount: 3 }, '2026-12-21'],
  ];
  for (const [first, second, order, date] of both)
    it(`says ${first} where ${second} is true as well`, () => assert.equal(judged(order, date), first));
});

describe('asking right before sending', () => {
  const delayed = anOrder({ expectedShipDate: '2026-11-30', delayCount: 1, lastNoticeId: current });
  const asked = (order: Order | undefined, on = today) => stillTrue(order, current, '2026-11-30', on);

  it('lets a delay pass that is still the last word', () => assert.equal(asked(delayed), undefined));
  it('lets it pass on the very day', () => assert.equal(asked(delayed, '2026-11-30'), undefined));

  const overtaken: [RejectReason, Order | undefined, string?][] = [
    ['ORDER_NOT_FOUND', undefined],
    ['ORDER_CANCELED', { ...delayed, status: 'canceled' }],
    ['ORDER_SHIPPED', { ...delayed, status: 'shipped' }],
    ['ORDER_DELIVERED', { ...delayed, status: 'delivered' }],
    ['CLAIM_IN_PROGRESS', { ...delayed, status: 'claim' }],
    ['OVERTAKEN', { ...delayed, lastNoticeId: newer }],
    ['DATE_IN_PAST', delayed, '2026-12-01'],
  ];
  for (const [reason, order, on] of overtaken)
    it(`stops a delay that is no longer true: ${reason}`, () => assert.equal(asked(order, on), reason));
});
