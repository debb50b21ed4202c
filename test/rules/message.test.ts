import assert from 'node:assert/strict';
import { noticeFormat, parseChunk } from '../../src/rules/message.ts';
import { aNotice } from '../support/makers.ts';

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('reading a chunk', () => {
  const header = aNotice({ reason: 'ETC', detail: 'The well ran dry', traceparent: '00-a-b-01' });
  const items = [
    { orderId: '주문-1' },
    { orderId: 'o-2', newShipDate: '2026-12-01', reason: 'WEATHER', detail: 'Hail', version: '4294967295' },
  ];

  it('takes what was written', () =>
    assert.deepEqual(parseChunk(overTheWire({ header, items })), { header, items }));

  it('names an order of a notice', () =>
    assert.deepEqual(
      [noticeFormat.headerKeyOf(header), noticeFormat.itemKeyOf({ orderId: '주문-1' })],
      [header.noticeId, '주문-1'],
    ));

  const wrong: [RegExp, string, unknown][] = [
    [/^chunk: expected an object/, 'a list', []],
    [/^chunk: .*got null/, 'null', null],
    [/^colour: unknown field/, 'an unknown part', { header, items, colour: 1 }],
    [/^header: expected an object, got nothing/, 'no header', { items }],
    [
      /^header\.colour: unknown field/,
      'an unknown field of the header',
      { header: { ...header, colour: 1 }, items },
    ],
    [
      /^header\.constructor: unknown field/,
      'a field every object has',
      { header: { ...header, constructor: 1 }, items },
    ],
    [
      /^header\.noticeId: .*lower case/,
      'an id in upper case',
      { header: { ...header, noticeId: header.noticeId.toUpperCase() }, items },
    ],
    [/^header\.sellerId: .*got nothing/, 'no seller', { header: { ...header, sellerId: undefined }, items }],
    [/^header\.path/, 'a path that is no string', { header: { ...header, path: 1 }, items }],
    [
      /^header\.reason: expected one of .*got "LAZY"/,
      'an unknown reason',
      { header: { ...header, reason: 'LAZY' }, items },
    ],
    [
      /^header\.detail: expected a string/,
      'a detail that is none',
      { header: { ...header, detail: null }, items },
    ],
    [
      /^header\.newShipDate: .*"2026-02-30"/,
      'a day that is none',
      { header: { ...header, newShipDate: '2026-02-30' }, items },
    ],
    [/^items: expected a list of at least one/, 'no orders', { header, items: [] }],
    [/^items: /, 'orders that are no list', { header, items: { length: 1 } }],
    [/^items\[1\]: expected an object/, 'an order that is a string', { header, items: [items[0], 'o-2'] }],
    [/^items\[0\]\.orderId: .*got 17/, 'an order id that is a number', { header, items: [{ orderId: 17 }] }],
    [/^items\[0\]\.orderId: .*got ""/, 'an empty order id', { header, items: [{ orderId: '' }] }],
    [/^items\[0\]\.orderId: .*got nothing/, 'no order id', { header, items: [{ reason: 'WEATHER' }] }],
    [
      /^items\[0\]\.version: expected a number as text, got "x"/,
      'a version that is none',
      { header, items: [{ orderId: 'o-1', version: 'x' }] },
    ],
    [
      /^items\[1\]\.phone: unknown field/,
      'an unknown field of an order',
      { header, items: [items[0], { orderId: 'o-2', phone: '1' }] },
    ],
  ];
  for (const [message, what, value] of wrong)
    it(`refuses ${what} and names it`, () =>
      assert.throws(
        () => parseChunk(overTheWire(value)),
        (error: Error) => {
          assert.match(error.message, message);
          return error instanceof TypeError;
        },
      ));
});
