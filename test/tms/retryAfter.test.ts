import assert from 'node:assert/strict';
import { longestRetryAfterMs, readRetryAfter } from '../../src/tms/retryAfter.ts';

const now = Date.parse('2026-12-01T09:00:00Z');

describe('readRetryAfter', () => {
  const cases: [header: string | undefined, expected: number | undefined][] = [
    ['0', 0],
    ['7', 7_000],
    [' 7 ', 7_000],
    ['86400', longestRetryAfterMs],
    ['Tue, 01 Dec 2026 09:00:30 GMT', 30_000],
    ['Tue, 01 Dec 2026 08:00:00 GMT', 0],
    ['Wed, 02 Dec 2026 09:00:00 GMT', longestRetryAfterMs],
    ['Tuesday, 01-Dec-26 09:00:30 GMT', 30_000],
    [undefined, undefined],
    ['', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['2026-12-01', undefined],
  ];
  for (const [header, expected] of cases) {
    it(`reads ${JSON.stringify(header)} as ${expected}`, () => {
      assert.equal(readRetryAfter(header, now), expected);
    });
  }
});
