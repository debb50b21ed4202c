import assert from 'node:assert/strict';
import { createMetrics } from '../src/metrics.ts';
import { promlint } from './support/promlint.ts';

describe('metrics', () => {
  it('have names, types and help as promtool wants them, those of Node.js included', async () => {
    const metrics = createMetrics();
    metrics.pipeline.batch('tms', 'bulk', 1, 1);
    assert.deepEqual(promlint(await metrics.registry.metrics()), []);
  });

  it('count what the pipeline tells', async () => {
    const metrics = createMetrics();
    const { pipeline } = metrics;
    const error = new TypeError('broken');
    pipeline.batch('tms', 'bulk', 500, 30);
    pipeline.batch('tms', 'bulk', 20, 3_000);
    pipeline.retriable('tms', 'bulk', 3, error, 2);
    pipeline.retriable('tms', 'bulk', 7, error, 'unchanged');
    pipeline.failed('tms', 'bulk', 3, error, 3, {});
    pipeline.circuit('tms', true, undefined);
    pipeline.circuit('delay', true, undefined);
    pipeline.circuit('delay', false, undefined);
    pipeline.consumers('tms', 'express', 1, { from: 0, why: 'start' });
    pipeline.consumers('tms', 'express', 2, { from: 1, why: 'deep queue', waiting: 900 });
    pipeline.consumers('tms', 'express', 3, { from: 2, why: 'deep queue', waiting: 900 });
    pipeline.consumers('tms', 'express', 2, { from: 3, why: 'little load' });
    pipeline.paused('tms', 'bulk', { name: 'tms', by: 'bori', note: null, at: new Date() });
    pipeline.paused('tms', 'express', undefined);
    pipeline.crashed('tms', 'bulk', error);
    metrics.failureRecorded('tms', 'TypeError');
    metrics.switchMalformed('delay-notice-path');
    metrics.overrideMalformed('tms.bulk');
    metrics.alertDelivered('slack');
    metrics.alertDeliveryFailed('webhook');
    metrics.alertsUndelivered([{ channel: 'slack', waiting: 9, gaveUp: 9 }]);
    metrics.alertsUndelivered([{ channel: 'webhook', waiting: 2, gaveUp: 1 }]);
    const page = await metrics.registry.metrics();
    for (const line of [
      'chodang_step_orders_total{step="tms",lane="bulk"} 520',
      'chodang_step_batch_duration_seconds_bucket{le="0.05",step="tms",lane="bulk"} 1',
      'chodang_step_batch_duration_seconds_count{step="tms",lane="bulk"} 2',
      'chodang_step_batch_duration_seconds_sum{step="tms",lane="bulk"} 3.03',
      'chodang_step_retriable_orders_total{step="tms",lane="bulk",fault="order"} 3',
      'chodang_step_retriable_orders_total{step="tms",lane="bulk",fault="infrastructure"} 7',
      'chodang_step_failed_messages_total{step="tms",error_class="TypeError"} 1',
      'chodang_step_circuit_open{step="tms"} 1',
      'chodang_step_circuit_open{step="delay"} 0',
      'chodang_step_consumers{step="tms",lane="express"} 2',
      'chodang_step_consumer_changes_total{step="tms",lane="express",direction="up",why="deep queue"} 2',
      'chodang_step_consumer_changes_total{step="tms",lane="express",direction="down",why="little load"} 1',
      'chodang_step_paused{step="tms",lane="bulk"} 1',
      'chodang_step_paused{step="tms",lane="express"} 0',
      'chodang_override_malformed_total{name="tms.bulk"} 1',
      'chodang_actor_crashes_total{step="tms",lane="bulk"} 1',
      'chodang_failures_recorded_total{step="tms",error_class="TypeError"} 1',
      'chodang_switch_malformed_total{name="delay-notice-path"} 1',
      'chodang_alerts_delivered_total{channel="slack"} 1',
      'chodang_alert_delivery_failures_total{channel="webhook"} 1',
      'chodang_alerts_undelivered{channel="webhook",state="waiting"} 2',
      'chodang_alerts_undelivered{channel="webhook",state="given_up"} 1',
    ])
      assert(page.split('\n').includes(line), `expected ${line} in\n${page}`);
    assert(!page.includes('chodang_alerts_undelivered{channel="slack"'), 'what was told before is gone');
  });

  it('that are ill-named are found by these tests', () => {
    const page = `# HELP sentMails Mails.
# TYPE sentMails counter
sentMails{toWhom="all"} 1
# TYPE wait_ms gauge
wait_ms 3
# TYPE wait_milliseconds gauge
wait_milliseconds 3
# HELP runs_total Runs.
# TYPE runs_total gauge
runs_total 1
`;
    assert.deepEqual(promlint(page), [
      'sentMails: counter metrics should have "_total" suffix',
      'sentMails: "sentMails" should be written in "snake_case" not "camelCase"',
      'sentMails: "toWhom" should be written in "snake_case" not "camelCase"',
      'wait_ms: no help text',
      'wait_ms: metric names should not contain abbreviated units',
      'wait_milliseconds: no help text',
      'wait_milliseconds: use base units such as seconds and bytes',
      'runs_total: non-counter metrics should not have "_total" suffix',
    ]);
  });
});
