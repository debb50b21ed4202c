import assert from 'node:assert/strict';
import murmurhash from 'murmurhash';
import { bucketCount, bucketOf, murmur3 } from '../../src/switches/bucket.ts';

// Computed by another implementation of murmur3 (x86, 32 bits, seed 0) in another language.
const known: [key: string, bucket: number][] = [
  ['s-17', 2658],
  ['s-1', 2196],
  ['주문-1', 9639],
  ['판매자-초당', 5505],
  ['überraschung', 1272],
  ['🌽', 8164],
  ['3442f8959a84dea7ee197c632cb2df15', 5069],
];

describe('the bucket of a key', () => {
  for (const [key, bucket] of known) {
    it(`is ${bucket} for ${key}`, () => {
      assert.equal(bucketOf('delay-notice-path', key), bucket);
    });
  }

  it('comes from the UTF-8 bytes of the key', () => assert.equal(murmur3('주문-1'), 1469383368));

  it('is hashed as the package murmurhash does it, whatever is in the key, and however long it is', () => {
    const characters = [
      'a',
      'Z',
      '0',
      '-',
      '\u0000',
      '\u007f',
      '\u0080',
      'ü',
      '\u07ff',
      '\u0800',
      '주',
      '\uffff',
    ];
    characters.push('🌽', '\u{10ffff}', '\ud800', '\udc00'); // the last two are halves of a pair
    let random = 1;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (let i = 0; i < 100_000; i += 1) {
      const text = Array.from({ length: i % 71 }, () => characters[next(characters.length)]).join('');
      const [begins, rest] = [text.slice(0, next(8)), text];
      assert.equal(murmur3(text), murmurhash.v3(text, 0), JSON.stringify(text));
      const hash = murmurhash.v3(`${begins}:${rest}`, 0);
      const bucket = (hash % 100) * 100 + (Math.floor(hash / 100) % 100);
      assert.equal(bucketOf(begins, rest), bucket, JSON.stringify([begins, rest]));
    }
  });

  it('is every bucket equally often: chi-square over 1,000,000 keys', () => {
    const keys = 1_000_000;
    const counts = new Uint32Array(bucketCount);
    for (let seller = 0; seller < keys; seller += 1) {
      const bucket = bucketOf('delay-notice-path', `s-${seller}`);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    const expected = keys / bucketCount;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // Mean 9,999 and standard deviation 141 if all is even; four of those on either side.
    assert.ok(Math.abs(chiSquare - 9_999) < 4 * Math.sqrt(2 * 9_999), `chi-square is ${chiSquare}`);
  });

  it('differs from switch to switch', () => {
    assert.notEqual(bucketOf('another-path', 's-17'), bucketOf('delay-notice-path', 's-17'));
  });

  it('agrees with gradual rollouts of whole percentages: hash mod 100 + 1 <= p', () => {
    for (let seller = 0; seller < 1000; seller += 1) {
      const normalized = (murmurhash.v3(`delay-notice-path:s-${seller}`, 0) % 100) + 1;
      const bucket = bucketOf('delay-notice-path', `s-${seller}`);
      for (const p of [0, 1, 30, 99, 100]) assert.equal(bucket < p * 100, normalized <= p);
    }
  });
});
