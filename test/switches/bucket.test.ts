import assert from 'node:assert/strict';
import murmurhash from 'murmurhash';
import { bucketOf } from '../../src/switches/bucket.ts';

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

  it('comes from the UTF-8 bytes of the key', () => {
    assert.equal(murmurhash.v3('주문-1', 0), 1469383368);
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
