import assert from 'node:assert/strict';
import { Restarts } from '../../src/commands/restarts.ts';

describe('a worker process that died', () => {
  it('is replaced at once if it was old', () => {
    const restarts = new Restarts(3);
    for (let deaths = 0; deaths < 10; deaths += 1) assert.equal(restarts.died({ young: false }), 100);
  });

  it('is replaced later and later if it died young, and in the end not at all', () => {
    const restarts = new Restarts(9);
    const waits = Array.from({ length: 9 }, () => restarts.died({ young: true }));
    assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, undefined]);
  });

  it('is replaced at once again after one grew old', () => {
    const restarts = new Restarts(3);
    restarts.died({ young: true });
    assert.equal(restarts.died({ young: true }), 200);
    restarts.grewOld();
    assert.equal(restarts.died({ young: true }), 100);
  });
});
