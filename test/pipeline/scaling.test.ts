import assert from 'node:assert/strict';
import { noMemory, type ScalingReason, scale } from '../../src/pipeline/scaling.ts';

const scaling = { checkMs: 1_000, growAfter: 3, shrinkAfter: 30 };
const prefetch = 8;
const second = 1_000;
const minute = 60 * second;

/** What the load of a lane is at some moment: messages that wait, and how many actors it keeps at work. */
type Load = (at: number, consumers: number) => { depth: number; load: number };

/** Looks at a lane once a second by a clock of our own, and gives every change of its number of actors. */
function watch(
  load: Load,
  forMs: number,
  {
    limits = () => ({ min: 1, max: 4 }),
    from = limits(0).min,
  }: { limits?: (at: number) => Limits; from?: number } = {},
) {
  let memory = noMemory;
  let consumers = from;
  const changes: { at: number; to: number; why: ScalingReason }[] = [];
  for (let at = 0; at <= forMs; at += scaling.checkMs) {
    const look = { at, consumers, ...load(at, consumers) };
    const decided = scale(memory, look, limits(at), { prefetch, scaling });
    memory = decided.memory;
    if (decided.why) changes.push({ at: at / second, to: decided.to, why: decided.why });
    consumers = decided.to;
  }
  return { changes, consumers, sizes: changes.map(({ to }) => to) };
}
interface Limits {
  min: number;
  max: number;
}

const nothing: Load = () => ({ depth: 0, load: 0 });
const deep: Load = (_, consumers) => ({ depth: 500, load: consumers });

describe('the number of consuming actors', () => {
  it('grows one by one to the maximum while the queue stays deep, and no further', () => {
    const { changes } = watch(deep, 10 * minute);
    assert.deepEqual(changes, [
      { at: 2, to: 2, why: 'deep queue' },
      { at: 5, to: 3, why: 'deep queue' },
      { at: 8, to: 4, why: 'deep queue' },
    ]);
  });

  it('shrinks one by one to the minimum while there is nothing to do', () => {
    const { changes } = watch(nothing, 10 * minute, { from: 4 });
    assert.deepEqual(changes, [
      { at: 29, to: 3, why: 'little load' },
      { at: 59, to: 2, why: 'little load' },
      { at: 89, to: 1, why: 'little load' },
    ]);
  });

  it('shrinks also under a trickle that fewer could carry with ease', () => {
    assert.deepEqual(watch(() => ({ depth: 1, load: 0.7 }), 10 * minute, { from: 4 }).sizes, [3, 2]);
  });

  it('stays as it is under a load that one fewer could just carry', () => {
    assert.deepEqual(watch(() => ({ depth: 3, load: 1.4 }), 60 * minute, { from: 3 }).sizes, []);
  });

  it('stays as it is while the depth hovers about the prefetch', () => {
    for (const step of [1, 2, 3]) {
      const hovering: Load = (at, consumers) => ({
        depth: (at / second) % (step + 1) === 0 ? prefetch : prefetch + 1,
        load: consumers,
      });
      const { changes } = watch(hovering, 60 * minute, { from: 2 });
      // Deep at three looks of four is deep; at two of three it is not.
      assert.deepEqual(
        changes.map(({ to }) => to),
        step === 3 ? [3, 4] : [],
      );
    }
  });

  it('takes no spike of a look or two for a load', () => {
    const spikes: Load = (at) => ({ depth: (at / second) % 5 < 2 ? 5_000 : 0, load: 0.9 });
    assert.deepEqual(watch(spikes, 60 * minute).sizes, []);
  });

  for (const [everyMs, most] of [
    [20 * second, 0],
    [45 * second, 10],
    [minute, 10],
    [2 * minute, 10],
    [4 * minute, 12], // eight of them until it has learned
  ] as const)
    it(`seldom goes down in an hour of waves, one every ${everyMs / second} s`, () => {
      const waves: Load = (at, consumers) =>
        at % everyMs < 10 * second ? { depth: 400, load: consumers } : { depth: 0, load: 0 };
      const { changes } = watch(waves, 60 * minute);
      const downs = changes.filter(({ why }) => why === 'little load');
      assert(downs.length <= most, `${downs.length} times down: ${JSON.stringify(changes)}`);
    });

  it('is patient again as at first once all has been quiet for long', () => {
    const waves: Load = (at, consumers) =>
      at < 20 * minute && at % minute < 10 * second ? { depth: 400, load: consumers } : { depth: 0, load: 0 };
    const { changes, consumers } = watch(waves, 60 * minute);
    assert.equal(consumers, 1);
    const last = changes.slice(-2).map(({ at }) => at);
    assert((last[1] ?? 0) - (last[0] ?? 0) <= 8 * 30, JSON.stringify(changes));
  });

  it('stays as it is while messages wait that nobody works at', () => {
    assert.deepEqual(watch(() => ({ depth: 2, load: 0 }), 10 * minute, { from: 3 }).sizes, []);
  });

  it('keeps other limits at once, in both directions', () => {
    const limits = (at: number) =>
      at < minute ? { min: 1, max: 4 } : at < 2 * minute ? { min: 6, max: 8 } : { min: 1, max: 2 };
    const { changes } = watch((_, consumers) => ({ depth: 0, load: consumers }), 5 * minute, {
      limits,
      from: 1,
    });
    assert.deepEqual(changes, [
      { at: 60, to: 6, why: 'limits' },
      { at: 120, to: 2, why: 'limits' },
    ]);
  });
});
