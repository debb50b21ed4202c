import assert from 'node:assert/strict';
import { createGroups } from '../../src/http/groups.ts';
import { aGate } from './api.ts';

describe('Groups', () => {
  /** Groups of numbers, each as large as it says; a group waits for the gate, and 13 is refused. */
  function make(gate = aGate()) {
    const ran: number[][] = [];
    const groups = createGroups<number, string>({
      async run(items) {
        ran.push([...items]);
        await gate.opened;
        if (items.includes(99)) throw new Error('all of it failed');
        return items.map((item) => (item === 13 ? new Error('13 was refused') : `n${item}`));
      },
      sizeOf: (item) => item,
      maxSize: 100,
      maxItems: 3,
      inFlight: 1,
    });
    return { ran, gate, add: (item: number) => groups.add(item) };
  }

  it('makes one group of what comes in one turn, and answers each with its own', async () => {
    const { ran, gate, add } = make();
    gate.open();
    const results = await Promise.allSettled([add(1), add(13), add(2)]);
    assert.deepEqual(ran, [[1, 13, 2]]);
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
      ['n1', 'Error: 13 was refused', 'n2'],
    );
  });

  it('gathers what comes while a group runs, in order, up to what a group may hold', async () => {
    const { ran, gate, add } = make();
    const first = add(1);
    await new Promise((resolve) => setImmediate(resolve));
    const rest = [2, 3, 4, 5, 60, 70].map(add);
    assert.deepEqual(ran, [[1]]);
    gate.open();
    assert.deepEqual(await Promise.all([first, ...rest]), ['n1', 'n2', 'n3', 'n4', 'n5', 'n60', 'n70']);
    assert.deepEqual(ran, [[1], [2, 3, 4], [5, 60], [70]]);
  });

  it('lets what is larger than a group go by itself', async () => {
    const { ran, gate, add } = make();
    gate.open();
    await Promise.all([add(500), add(1)]);
    assert.deepEqual(ran, [[500], [1]]);
  });

  it('answers all with what their group threw, and goes on', async () => {
    const { gate, add } = make();
    gate.open();
    const results = await Promise.allSettled([add(99), add(1)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(await add(2), 'n2');
  });
});
