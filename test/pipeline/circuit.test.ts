import assert from 'node:assert/strict';
import { Circuit } from '../../src/pipeline/circuit.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';

describe('circuit', () => {
  const away = (options: { retryAfterMs?: number; opensCircuit?: boolean } = {}) =>
    new InfrastructureError('away', options);
  const make = () => {
    const clock = { now: 0 };
    const changes: boolean[] = [];
    const circuit = new Circuit(
      { failures: 3, probeMs: 100 },
      (open) => changes.push(open),
      () => clock.now,
    );
    return { circuit, clock, changes };
  };

  it('opens after so many errors in a row, not before, and says so once', () => {
    const { circuit, changes } = make();
    for (const open of [false, false, true, true]) {
      circuit.failed(away());
      assert.equal(circuit.open, open);
    }
    assert.deepEqual(changes, [true]);
  });

  it('forgets errors when something succeeds in between', () => {
    const { circuit } = make();
    for (let round = 0; round < 5; round += 1) {
      circuit.failed(away());
      circuit.failed(away());
      circuit.succeeded();
    }
    assert.equal(circuit.open, false);
  });

  it('opens at once on an error that waiting alone will not mend', () => {
    const { circuit } = make();
    circuit.failed(away({ opensCircuit: true }));
    assert.equal(circuit.open, true);
  });

  it('lets a probe try after the wait, and another wait after a probe that fails', () => {
    const { circuit, clock } = make();
    circuit.failed(away({ opensCircuit: true }));
    clock.now = 99;
    assert.equal(circuit.probeDue, false);
    clock.now = 100;
    assert.equal(circuit.probeDue, true);
    circuit.failed(away());
    assert.equal(circuit.probeDue, false);
    clock.now = 200;
    assert.equal(circuit.probeDue, true);
  });

  it('leaves a server alone as long as it asked for', () => {
    const { circuit, clock } = make();
    circuit.failed(away({ retryAfterMs: 5_000 }));
    assert.equal(circuit.open, true);
    clock.now = 4_999;
    assert.equal(circuit.probeDue, false);
    clock.now = 5_000;
    assert.equal(circuit.probeDue, true);
  });

  it('closes with the first success', () => {
    const { circuit, changes } = make();
    circuit.failed(away({ opensCircuit: true }));
    circuit.succeeded();
    assert.equal(circuit.open, false);
    assert.deepEqual(changes, [true, false]);
  });
});
