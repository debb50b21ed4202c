import assert from 'node:assert/strict';
import { StormWatch } from '../../src/alerts/storms.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { PipelineObserver } from '../../src/pipeline/observer.ts';
import { recordingObserver } from '../support/pipeline.ts';

const minute = 60_000;

describe('A storm of retries', () => {
  let now: number;
  let watch: StormWatch;
  let pipeline: PipelineObserver;
  let seen: ReturnType<typeof recordingObserver>['seen'];
  beforeEach(() => {
    now = 1_000_000 * minute;
    watch = new StormWatch({ percent: 20, forMs: 5 * minute, minOrders: 20 }, () => now);
    const recording = recordingObserver();
    ({ seen } = recording);
    pipeline = watch.watching(recording.observer);
  });

  const away = new InfrastructureError('the gateway is away');
  /** Minutes in which so many orders run in the step tms, and so many of those go to wait. */
  function minutes(count: number, { ran = 0, waited = 0 }) {
    for (let passed = 0; passed < count; passed += 1) {
      if (waited > 0) pipeline.retriable('tms', 'bulk', waited, away, 'unchanged');
      if (ran > 0) pipeline.batch('tms', 'bulk', ran, 10);
      now += minute;
    }
  }
  /** What is said to be a storm now, by its shares. */
  const storms = () =>
    watch.storms().map(({ step, ran, waited, byShare }) => ({ step, ran, waited, byShare }));
  const storm = (ran: number, waited: number) => [{ step: 'tms', ran, waited, byShare: true }];

  it('is one where more than so many percent wait, in each of five minutes', () => {
    minutes(4, { ran: 100, waited: 21 });
    assert.deepEqual(storms(), []);
    minutes(1, { ran: 100, waited: 21 });
    assert.deepEqual(storms(), storm(500, 105));
    assert.equal(watch.storms()[0]?.error, away);
  });

  it('is none where just so many percent wait', () => {
    minutes(10, { ran: 100, waited: 20 });
    assert.deepEqual(storms(), []);
  });

  it('is none where one minute in five went well, also if all waited in the others', () => {
    minutes(4, { ran: 100, waited: 100 });
    minutes(1, { ran: 100, waited: 5 });
    minutes(4, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), []);
    minutes(1, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), storm(500, 500));
  });

  it('is none where too few orders run to tell', () => {
    minutes(5, { ran: 3, waited: 3 });
    assert.deepEqual(storms(), []);
    minutes(5, { ran: 4, waited: 4 });
    assert.deepEqual(storms(), storm(20, 20));
  });

  it('is none where nothing runs for a minute, with the circuit closed', () => {
    minutes(3, { ran: 100, waited: 100 });
    minutes(1, {});
    minutes(1, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), []);
  });

  it('is over after one good minute', () => {
    minutes(8, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), storm(500, 500));
    minutes(1, { ran: 100 });
    assert.deepEqual(storms(), []);
  });

  it('does not count the minute that is not over', () => {
    minutes(5, { ran: 100, waited: 100 });
    pipeline.batch('tms', 'bulk', 1_000, 10);
    assert.deepEqual(storms(), storm(500, 500));
  });

  it('is not forgotten, and not made up, while nobody asks for long', () => {
    minutes(5, { ran: 100, waited: 100 });
    now += 600 * minute;
    assert.deepEqual(storms(), []);
    minutes(5, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), storm(500, 500));
  });

  it('is told of each step by itself', () => {
    for (let passed = 0; passed < 5; passed += 1) {
      pipeline.batch('delay', 'bulk', 100, 10);
      minutes(1, { ran: 100, waited: 100 });
    }
    assert.deepEqual(storms(), storm(500, 500));
  });

  it('takes a batch that ends in the minute after its orders began to wait for what it is', () => {
    minutes(1, { waited: 100 });
    minutes(4, { ran: 100, waited: 100 });
    assert.deepEqual(storms(), storm(500, 500));
  });

  describe('behind an open circuit', () => {
    it('is one by its shares where the probes are many enough', () => {
      pipeline.circuit('tms', true, away);
      minutes(5, { ran: 60, waited: 60 });
      assert.deepEqual(storms(), storm(300, 300));
    });

    it('may be one once it has been open for five minutes, however few probes there were', () => {
      minutes(1, { ran: 3, waited: 3 });
      pipeline.circuit('tms', true, away);
      now += 5 * minute - 1;
      assert.deepEqual(watch.storms(), []);
      now += 1;
      const [found] = watch.storms();
      assert.deepEqual([found?.byShare, found?.circuitOpenMs], [false, 5 * minute]);
    });

    it('is over when it closes', () => {
      pipeline.circuit('tms', true, away);
      now += 9 * minute;
      pipeline.circuit('tms', false, undefined);
      assert.deepEqual(watch.storms(), []);
    });

    it('goes on through minutes without a probe, if there were enough orders in the others', () => {
      minutes(2, { ran: 100, waited: 100 });
      pipeline.circuit('tms', true, away);
      minutes(2, {});
      pipeline.circuit('tms', false, undefined);
      minutes(1, { ran: 50, waited: 50 });
      assert.deepEqual(storms(), storm(250, 250));
    });
  });

  it('hides nothing from the observer behind it', () => {
    minutes(1, { ran: 100, waited: 50 });
    pipeline.circuit('tms', true, away);
    pipeline.failed('tms', 'bulk', 1, away, 5, {});
    pipeline.consumers('tms', 'bulk', 2, { from: 1, why: 'deep queue' });
    pipeline.paused('tms', 'bulk', undefined);
    pipeline.crashed('tms', 'bulk', away);
    assert.deepEqual(seen, {
      batches: [{ step: 'tms', lane: 'bulk', items: 100 }],
      retriable: [{ step: 'tms', items: 50, attempt: 'unchanged' }],
      failed: [{ step: 'tms', items: 1, error: away, attempt: 5 }],
      circuit: [{ step: 'tms', open: true }],
      consumers: [{ lane: 'bulk', from: 1, to: 2, why: 'deep queue' }],
      paused: [{ lane: 'bulk', by: undefined }],
      crashed: [away],
    });
  });
});
