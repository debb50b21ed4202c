import assert from 'node:assert/strict';
import { Culprit, halve } from '../../src/pipeline/halve.ts';

describe('halving', () => {
  const numbers = Array.from({ length: 500 }, (_, at) => at);
  const refusing = (bad: (item: number) => boolean, runs: number[] = []) => ({
    runs,
    run: async (items: readonly number[]) => {
      runs.push(items.length);
      if (items.some(bad)) throw new Error('one of them is bad');
      return items.map((item) => `ok ${item}`);
    },
  });

  it('runs once where nothing is wrong', async () => {
    const { run, runs } = refusing(() => false);
    assert.equal((await halve(numbers, run, () => true)).length, 500);
    assert.deepEqual(runs, [500]);
  });

  it('leaves only the culprit with the error, and every neighbour with its result, in order', async () => {
    const { run, runs } = refusing((item) => item === 321);
    const results = await halve(numbers, run, () => true);
    for (const [at, result] of results.entries())
      if (at === 321) assert(result instanceof Culprit && result.error.message === 'one of them is bad');
      else assert.equal(result, `ok ${at}`);
    assert(runs.length <= 1 + 2 * 9, `${runs.length} runs`);
  });

  it('finds several culprits', async () => {
    const { run } = refusing((item) => item % 100 === 7);
    const results = await halve(numbers, run, () => true);
    assert.equal(results.filter((result) => result instanceof Culprit).length, 5);
  });

  it('throws on what blames nobody, at once', async () => {
    const { run, runs } = refusing((item) => item === 0);
    await assert.rejects(
      halve(numbers, run, () => false),
      /one of them is bad/,
    );
    assert.deepEqual(runs, [500]);
  });
});
