import assert from 'node:assert/strict';
import { MalformedEvent, readEvent } from '../../src/rules/orderEvent.ts';
import { orderEventsIn, orderFormat } from '../../src/rules/orderFormat.ts';
import { anUpserted, aStatusChange } from '../support/orderEvents.ts';

const problemOf = (value: unknown) => {
  const read = readEvent(value);
  return read instanceof MalformedEvent ? read.problem : assert.fail('it was understood');
};
const upsertedWith = (data: object) => {
  const event = anUpserted();
  return { ...event, data: { ...event.data, ...data } };
};

describe('an event of the shop', () => {
  it('is refused in no time, since a list may have thousands that are wrong', () => {
    const startedAt = performance.now();
    for (let i = 0; i < 5_000; i++) problemOf(upsertedWith({ status: 'paid', version: i }));
    // Some 0.01 ms each; 0.8 ms where schemas are compiled for each of them.
    assert.ok(performance.now() - startedAt < 1_500);
  });

  it('is understood, with whatever else it says', () => {
    const event = {
      ...anUpserted({ locale: 'en', phone: '' }),
      time: '2026-11-22T09:00:00+09:00',
      subject: 's-1/o-1',
      traceparent: '00-1-2-01',
    };
    assert.equal(readEvent(event), event);
    const more = { ...aStatusChange(), data: { ...aStatusChange().data, reason: 'by the customer' } };
    assert.equal(readEvent(more), more);
  });

  const wrong: [unknown, RegExp][] = [
    [17, /^expected an event, a JSON object \{.*\}, got a number$/],
    [null, /got null$/],
    [[anUpserted()], /got a list$/],
    [{}, /^type: expected order.upserted or order.status-changed, got nothing$/],
    [{ ...anUpserted(), type: 'order.paid' }, /^type: expected .*, got "order.paid"$/],
    [{ ...anUpserted(), type: 'constructor' }, /^type: /],
    [{ ...anUpserted(), specversion: '0.3' }, /^specversion: expected "1.0", got "0.3"$/],
    [{ ...anUpserted(), id: 7 }, /^id: expected a text that names the event, got 7$/],
    [{ ...anUpserted(), source: '' }, /^source: /],
    [{ ...anUpserted(), data: undefined }, /^data: expected an object with everything.*, got nothing$/],
    [{ ...anUpserted(), data: 'x' }, /^data: .* got "x"$/],
    [upsertedWith({ sellerId: '' }), /^data.sellerId: .* got ""$/],
    [upsertedWith({ orderId: 'a\nb' }), /^data.orderId: .* got "a\\nb"$/],
    [upsertedWith({ orderId: 17 }), /^data.orderId: .* got 17$/],
    [upsertedWith({ version: '7' }), /^data.version: expected a whole number .*, got "7"$/],
    [upsertedWith({ version: -1 }), /^data.version: /],
    [upsertedWith({ version: 1.5 }), /^data.version: /],
    [upsertedWith({ version: 2 ** 53 }), /^data.version: /],
    [upsertedWith({ status: 'shiped' }), /^data.status: expected one of open, canceled.*, got "shiped"$/],
    [upsertedWith({ promisedShipDate: '2026-02-30' }), /^data.promisedShipDate: .* got "2026-02-30"$/],
    [upsertedWith({ promisedShipDate: undefined }), /^data.promisedShipDate: .* got nothing$/],
    [upsertedWith({ phone: undefined }), /^data.phone: .* got nothing$/],
    [upsertedWith({ phone: null }), /^data.phone: .* got null$/],
    [
      upsertedWith({ customerName: '\ud800' }),
      /^data.customerName: expected a text .*, got a string that is none$/,
    ],
    [upsertedWith({ product: 'a\0b' }), /^data.product: /],
    [upsertedWith({ product: 'x'.repeat(1_001) }), /^data.product: .* got "x{79}…$/],
  ];
  for (const [value, problem] of wrong)
    it(`is refused with what is wrong: ${problem.source}`, () => assert.match(problemOf(value), problem));

  it('names no customer in what it says of a mistake', () => {
    assert.doesNotMatch(problemOf(upsertedWith({ phone: '+8255\0' })), /8255/);
  });
});

describe('a message of the shop', () => {
  const read = (text: string) => orderFormat.read(Buffer.from(text)).flatMap(({ items }) => items);

  it('is an event, or a list of them', () => {
    const events = [anUpserted(), aStatusChange()];
    assert.deepEqual(read(JSON.stringify(events)), events);
    assert.deepEqual(read(JSON.stringify(events[0])), [events[0]]);
  });

  it('keeps those that can be understood apart from those that can not, and writes both as they came', () => {
    const body = [anUpserted(), { type: 'x', 주문: [1, null] }, 17, aStatusChange()];
    const items = read(JSON.stringify(body));
    assert.deepEqual(
      items.map((item) => item instanceof MalformedEvent),
      [false, true, true, false],
    );
    assert.equal(orderFormat.write([{ items }]).toString(), JSON.stringify(body));
  });

  it('is refused as a whole where nothing in it can be understood', () => {
    assert.throws(() => read('no JSON'), /^Error: expected JSON: /);
    assert.throws(() => read('[]'), /expected a list of at least one event/);
    assert.throws(() => read('17'), /got a number/);
    assert.throws(() => read('{"chunks":[]}'), /^Error: type: expected order.upserted/);
    assert.throws(() => read('[{},{}]'), /^Error: type: /);
  });

  it('gives its events to those who want all of them or none', () => {
    const events = [anUpserted(), aStatusChange()];
    assert.deepEqual(orderEventsIn(Buffer.from(JSON.stringify(events))), events);
    const bad = Buffer.from(JSON.stringify([...events, { ...anUpserted(), id: '' }]));
    assert.throws(() => orderEventsIn(bad), /^Error: id: expected a text/);
  });

  it('holds events that are the same thing only if kind, order and version are', () => {
    const key = orderFormat.itemKeyOf;
    assert.equal(key(anUpserted()), key(anUpserted()));
    const others = [
      anUpserted(),
      anUpserted({ version: 2 }),
      aStatusChange({ version: 1 }),
      anUpserted({ orderId: 'o-2' }),
      anUpserted({ sellerId: 's-2' }),
      new MalformedEvent({}, ''),
      new MalformedEvent({ a: 1 }, ''),
    ];
    assert.equal(new Set(others.map(key)).size, others.length);
  });
});
