import assert from 'node:assert/strict';
import { type Alerts, startAlerts } from '../../src/alerts/start.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createMetrics } from '../../src/metrics.ts';
import { done, infrastructure } from '../../src/pipeline/actor.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { startPipeline } from '../../src/pipeline/pipeline.ts';
import { raiseAlerts } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/store.ts';
import { crate, crateFormat } from '../support/crates.ts';
import { migratedDatabase } from '../support/database.ts';
import { type CrateActor, cratePipeline, recordingObserver, stepOptions } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';
import { anAlert, aReceiver, quiet } from './receiver.ts';

describe('The alerts of a process', () => {
  let store: Store;
  let drop: () => Promise<void>;
  let slack: Awaited<ReturnType<typeof aReceiver>>;
  let webhook: Awaited<ReturnType<typeof aReceiver>>;
  let alerts: Alerts | undefined;
  beforeEach(async () => {
    ({ store, drop } = await migratedDatabase());
    slack = await aReceiver();
    webhook = await aReceiver();
  });
  afterEach(async () => {
    await alerts?.stop();
    await slack.close();
    await webhook.close();
    await drop();
  });

  const configWith = (overlay: object) =>
    loadConfig({
      env: { CHODANG_ENV: 'test' },
      overlay: {
        alerts: {
          slackUrl: slack.url,
          webhookUrl: webhook.url,
          webhookSecret: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
          ...overlay,
        },
      },
    });
  const told = (receiver: typeof slack, what: string | RegExp) =>
    until(() => receiver.received.find(({ body }) => body.match(what)), {
      what: `${what} is told`,
    });

  it('go to Slack and to the webhook of one’s own, also where there is no RabbitMQ', async () => {
    alerts = startAlerts(configWith({}), { store, metrics: createMetrics(), log: quiet });
    await raiseAlerts(store, [anAlert()]);
    await told(slack, /1 new group of failures/);
    const { headers } = await told(webhook, '"type":"chodang.alerts"');
    assert.match(String(headers['webhook-signature']), /^v1,/);
  });

  it('tell of messages behind a circuit that stays open, and of a failed queue that nobody drains', async () => {
    let open = true;
    const away = new InfrastructureError('the gateway is away', { opensCircuit: true });
    const tms: CrateActor = { run: async (batch) => batch.map(() => (open ? infrastructure(away) : done)) };
    const steps = { tms: stepOptions() };
    const pipeline = await cratePipeline({}, { steps });
    const config = { ...configWith({ undrainedMs: 300, storm: { forMs: 500 } }), steps };
    alerts = startAlerts(config, { store, broker: pipeline.broker, metrics: createMetrics(), log: quiet });
    const running = startPipeline({
      broker: pipeline.broker,
      format: crateFormat,
      steps,
      actors: { tms },
      chunkSize: 500,
      maxRedeliveries: 10,
      scaling: { checkMs: 20, growAfter: 2, shrinkAfter: 5 },
      observer: alerts.watching(recordingObserver().observer),
    });
    try {
      for (let n = 0; n < 3; n += 1) await pipeline.send([crate(`c-${n}`)]);
      await told(
        slack,
        /storm of retries.*step tms: error class InfrastructureError, error the gateway is away/s,
      );
      await told(webhook, '"kind":"retriable storm"');
      open = false;
      await pipeline.broker.publish({
        exchange: 'chodang.failed',
        routingKey: 'tms.express',
        content: Buffer.from('{}'),
        type: 'tms.v1',
        messageId: 'm-1',
        headers: {},
      });
      await told(slack, /1 failed queue that nobody drains/);
      const rows = await store.query('select kind from alerts order by alert_id');
      assert.deepEqual(rows, [{ kind: 'retriable storm' }, { kind: 'queue undrained' }]);
    } finally {
      await running.drain();
      await alerts.stop();
      await pipeline.close();
    }
  });
});
