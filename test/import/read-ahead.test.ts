import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { readAhead } from '../../src/import/read-ahead.ts';

describe('reading ahead', () => {
  it('gives everything in order, one ahead of who reads it', async () => {
    const made: number[] = [];
    const seen: [number, number][] = [];
    for await (const n of readAhead(upTo(3, made))) {
      await setImmediate();
      seen.push([n, made.length]);
    }
    assert.deepEqual(seen, [
      [1, 2],
      [2, 3],
      [3, 3],
    ]);
  });

  it('throws what the source throws after what came before it', async () => {
    const seen: number[] = [];
    const reading = async () => {
      for await (const n of readAhead(upTo(2, [], new Error('no more')))) {
        await setImmediate();
        seen.push(n);
      }
    };
    await assert.rejects(reading(), /no more/);
    assert.deepEqual(seen, [1, 2]);
  });

  it('closes the source when its reader stops early', async () => {
    const made: number[] = [];
    for await (const n of readAhead(upTo(9, made))) if (n === 2) break;
    assert.deepEqual(made, [1, 2, 3, -1]);
  });
});

async function* upTo(last: number, made: number[], then?: Error): AsyncGenerator<number> {
  try {
    for (let n = 1; n <= last; n++) {
      made.push(n);
      yield n;
    }
    if (then) throw then;
  } finally {
    if (made.length < last) made.push(-1);
  }
}
