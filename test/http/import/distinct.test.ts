import assert from 'node:assert/strict';
import { DistinctOrders } from '../../../src/http/import/distinct.ts';
import { hash128 } from '../../../src/http/import/hash128.ts';

/** A text whose UTF-16 code units are these bytes, so that known hashes of bytes can be looked up. */
const ofBytes = (bytes: string) => Buffer.from(bytes, 'latin1').toString('utf16le');

describe('hash128', () => {
  const hashOf = (text: string) => {
    const out = new Uint32Array(4);
    hash128(text, out);
    return [...out].map((word) => word.toString(16).padStart(8, '0')).join('');
  };
  // From mmh3, a binding of the original code: mmh3.hash_bytes(text, 0, False).
  const known = {
    '': '00000000000000000000000000000000',
    ab: '158451df25be301025be301025be3010',
    abcdefgh: 'aef41136adb11487fa6c8092fa6c8092',
    abcdefghijklmnop: '9fd2762790b91256e4ce8b21d193ba45',
    'I will not buy this record, it is scratched.': 'a0a9683b25ac5e40d9af2895890dddf5',
  };
  for (const [bytes, hash] of Object.entries(known))
    it(`is MurmurHash3 x86_128: "${bytes}"`, () => assert.equal(hashOf(ofBytes(bytes)), hash));

  it('differs for ids that differ in one letter, also beyond ASCII', () => {
    const ids = Array.from({ length: 20_000 }, (_, n) => `주문-${n}`);
    assert.equal(new Set(ids.map(hashOf)).size, ids.length);
  });
});

describe('DistinctOrders', () => {
  it('knows each order that was added, and whether it wants the same', () => {
    const orders = new DistinctOrders();
    assert.equal(orders.add('o-1', 7), 'new');
    assert.equal(orders.add('o-1', 7), 'repeat');
    assert.equal(orders.add('o-1', 9), 'conflict');
    assert.equal(orders.add('o-1', 7), 'repeat', 'the first one counts');
    assert.deepEqual([orders.has('o-1'), orders.has('o-2'), orders.size], [true, false, 1]);
  });

  it('says the same as a map does, through all its growing', () => {
    const orders = new DistinctOrders();
    const map = new Map<string, number>();
    for (let n = 0; n < 200_000; n++) {
      const id = `o-${(n * 7_919) % 130_003}`;
      const wish = n % 3 === 0 ? -1 : 2 ** 31 + 1;
      const before = map.get(id);
      const expected = before === undefined ? 'new' : before === wish ? 'repeat' : 'conflict';
      assert.equal(orders.add(id, wish), expected);
      if (before === undefined) map.set(id, wish);
    }
    assert.equal(orders.size, map.size);
  });

  it('takes some 16 bytes for each', () => {
    const before = process.memoryUsage().arrayBuffers;
    const orders = new DistinctOrders();
    for (let n = 0; n < 300_000; n++) orders.add(`an order with a long id, number ${n}`, 1);
    const bytes = (process.memoryUsage().arrayBuffers - before) / orders.size;
    // Tables that were outgrown may still wait to be collected.
    assert.ok(bytes < 60, `${bytes.toFixed(0)} bytes`);
  });
});
