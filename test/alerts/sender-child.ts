// Sends alerts as a process of its own, for tests that kill it. Its settings are the JSON in SENDER.
import { startSender } from '../../src/alerts/send.ts';
import { webhookChannel } from '../../src/alerts/standardWebhook.ts';
import { createMetrics } from '../../src/metrics.ts';
import { openStore } from '../../src/store/store.ts';
import { quiet } from './receiver.ts';

const { postgres, url, secret, ...options } = JSON.parse(process.env['SENDER'] ?? '{}') as {
  postgres: string;
  url: string;
  secret: string;
  collectMs: number;
  everyMs: number;
  giveUpMs: number;
  lookMs: number;
  leaseMs: number;
};
startSender({
  ...options,
  store: openStore({ url: postgres, poolSize: 2, log: quiet }),
  channels: [webhookChannel({ url, secret })],
  metrics: createMetrics(),
  log: quiet,
});
