import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerMetrics } from '../../src/commands/workerMetrics.ts';
import { createMetrics, type Metrics } from '../../src/metrics.ts';
import { promlint } from '../support/promlint.ts';

describe('the metrics of worker processes', () => {
  let metrics: WorkerMetrics;
  let workers: Map<number, Metrics['pipeline'] & { metrics: Metrics }>;
  let stuck: Set<number>;

  beforeEach(() => {
    workers = new Map();
    stuck = new Set();
    metrics = new WorkerMetrics((worker, id) => {
      const asked = registries.get(worker);
      // As over the wire between two processes.
      if (!stuck.has(worker))
        void asked?.getMetricsAsJSON().then((json) => metrics.told(id, JSON.parse(JSON.stringify(json))));
    });
  });
  const registries = new Map<number, { getMetricsAsJSON(): Promise<object[]> }>();

  function aWorker(id: number) {
    const made = createMetrics((own) => {
      registries.set(id, own);
      return own;
    });
    workers.set(id, { ...made.pipeline, metrics: made });
    metrics.began(id);
    return made;
  }
  const lines = async () => (await metrics.page()).split('\n');
  const says = async (...expected: string[]) => {
    const page = await lines();
    for (const line of expected) assert(page.includes(line), `expected ${line} in\n${page.join('\n')}`);
  };

  it('are added up, but for those that all tell alike', async () => {
    const [one, two] = [aWorker(1), aWorker(2)];
    for (const each of [one, two]) {
      each.pipeline.batch('tms', 'bulk', 500, 30);
      each.pipeline.consumers('tms', 'bulk', 2, { from: 0, why: 'start' });
      each.pipeline.circuit('tms', true, undefined);
      each.pipeline.paused('tms', 'bulk', { name: 'tms', by: null, note: null, at: new Date() });
      each.alertsUndelivered([{ channel: 'slack', waiting: 3, gaveUp: 0 }]);
    }
    one.pipeline.batch('tms', 'bulk', 20, 3_000);
    two.pipeline.crashed('delay', 'bulk', new Error('no'));
    await says(
      'chodang_step_orders_total{step="tms",lane="bulk"} 1020',
      'chodang_step_batch_duration_seconds_bucket{le="0.05",step="tms",lane="bulk"} 2',
      'chodang_step_batch_duration_seconds_count{step="tms",lane="bulk"} 3',
      'chodang_step_consumers{step="tms",lane="bulk"} 4',
      'chodang_step_circuit_open{step="tms"} 1',
      'chodang_step_paused{step="tms",lane="bulk"} 1',
      'chodang_alerts_undelivered{channel="slack",state="waiting"} 3',
      'chodang_actor_crashes_total{step="delay",lane="bulk"} 1',
      'chodang_worker_processes 2',
      'chodang_worker_deaths_total 0',
    );
    assert.deepEqual(promlint(await metrics.page()), []);
  });

  it('never go down when one dies, as far as they were told; what it measured goes with it', async () => {
    const [one, two] = [aWorker(1), aWorker(2)];
    for (const each of [one, two]) {
      each.pipeline.batch('tms', 'bulk', 500, 30);
      each.pipeline.consumers('tms', 'bulk', 2, { from: 0, why: 'start' });
    }
    await metrics.page();
    metrics.ended(1, { died: true });
    await says(
      'chodang_step_orders_total{step="tms",lane="bulk"} 1000',
      'chodang_step_batch_duration_seconds_count{step="tms",lane="bulk"} 2',
      'chodang_step_consumers{step="tms",lane="bulk"} 2',
      'chodang_worker_processes 1',
      'chodang_worker_deaths_total 1',
    );
    aWorker(3).pipeline.batch('tms', 'bulk', 7, 30);
    await says('chodang_step_orders_total{step="tms",lane="bulk"} 1007', 'chodang_worker_processes 2');
    metrics.ended(3, { died: false });
    metrics.ended(2, { died: false });
    await says('chodang_step_orders_total{step="tms",lane="bulk"} 1007', 'chodang_worker_deaths_total 1');
  });

  it('do not wait for long for one that is stuck, and take what it told last', async () => {
    const [one, two] = [aWorker(1), aWorker(2)];
    for (const each of [one, two]) each.pipeline.batch('tms', 'bulk', 500, 30);
    await metrics.page();
    stuck.add(1);
    for (const each of [one, two]) each.pipeline.batch('tms', 'bulk', 1, 30);
    await says('chodang_step_orders_total{step="tms",lane="bulk"} 1001');
  });

  it('do not wait for one that dies while it is asked', async () => {
    aWorker(1);
    stuck.add(1);
    const page = metrics.page();
    metrics.ended(1, { died: true });
    assert.match(String(await Promise.race([page, sleep(900)])), /^chodang_worker_deaths_total 1$/m);
  });
});
