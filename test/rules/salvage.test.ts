import assert from 'node:assert/strict';
import { failedOrdersOf } from '../../src/rules/salvage.ts';
import { aNotice } from '../support/makers.ts';

describe('making out whose orders a failed message holds', () => {
  const header = aNotice();
  const read = (chunks: unknown) => failedOrdersOf(Buffer.from(JSON.stringify({ chunks })));
  const { noticeId, sellerId, newShipDate } = header;

  it('overlooks what it does not know: a newer version of us may have written it', () =>
    assert.deepEqual(
      read([{ header: { ...header, mood: 'sunny' }, items: [{ orderId: 'o-1', gift: true }] }]),
      [{ noticeId, sellerId, orderId: 'o-1', newShipDate }],
    ));

  it('takes an order by its own date, and the others where one is unreadable', () =>
    assert.deepEqual(
      read([
        {
          header,
          items: [{ orderId: 'o-1', newShipDate: '2027-01-02' }, { orderId: 7 }, null, { orderId: 'o-2' }],
        },
      ]),
      [
        { noticeId, sellerId, orderId: 'o-1', newShipDate: '2027-01-02' },
        { noticeId, sellerId, orderId: 'o-2', newShipDate },
      ],
    ));

  it('takes the good chunk beside a broken one', () =>
    assert.equal(
      read([
        { header: {}, items: [{ orderId: 'x' }] },
        { header, items: [{ orderId: 'o-1' }] },
      ]).length,
      1,
    ));

  for (const [what, bytes] of [
    ['no JSON', Buffer.from([0xff, 0x00])],
    ['a list', Buffer.from('[]')],
    [
      'a notice id that is none',
      Buffer.from(
        JSON.stringify({ chunks: [{ header: { ...header, noticeId: 'x' }, items: [{ orderId: 'o' }] }] }),
      ),
    ],
  ] as const)
    it(`finds nothing in ${what}`, () => assert.deepEqual(failedOrdersOf(bytes), []));
});
