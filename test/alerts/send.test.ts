import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import type { Channel } from '../../src/alerts/channel.ts';
import { logChannel } from '../../src/alerts/logged.ts';
import { againAfterMs, type SenderOptions, startSender } from '../../src/alerts/send.ts';
import { slackChannel } from '../../src/alerts/slack.ts';
import { webhookChannel } from '../../src/alerts/standardWebhook.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Alert, raiseAlerts } from '../../src/store/alerts.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { type KeptLog, keptLog } from '../support/log-lines.ts';
import { proxyTo } from '../support/proxy.ts';
import { until } from '../support/wait.ts';
import { anAlert, aReceiver, aWhile, newGroups, quiet, type Received, status } from './receiver.ts';

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

describe('The sender of alerts', () => {
  let store: Store;
  let url: string;
  let drop: () => Promise<void>;
  let receiver: Awaited<ReturnType<typeof aReceiver>>;
  let log: KeptLog;
  let metrics: ReturnType<typeof createMetrics>;
  let running: { stop(): Promise<void> }[];

  before(async () => {
    ({ store, url, drop } = await migratedDatabase());
  });
  after(() => drop());
  beforeEach(async () => {
    await emptyTables(store);
    receiver = await aReceiver();
    log = keptLog();
    metrics = createMetrics();
    running = [];
  });
  afterEach(async () => {
    await Promise.all(running.map((each) => each.stop()));
    await receiver.close();
  });

  const toWebhook = () => webhookChannel({ url: receiver.url, secret });
  const toSlack = () => slackChannel({ url: receiver.url });
  function start(channels: Channel[], options: Partial<SenderOptions> = {}) {
    const sender = startSender({
      store,
      channels,
      collectMs: 0,
      everyMs: 0,
      giveUpMs: 60_000,
      lookMs: 10,
      firstAgainMs: 20,
      metrics,
      log: log.log,
      ...options,
    });
    running.push(sender);
    return sender;
  }
  const counted = async (line: string) => (await metrics.registry.metrics()).split('\n').includes(line);
  const delivered = (count: number, channel = 'webhook') =>
    until(
      async () =>
        (
          await store.query('select from alert_deliveries where channel = $1 and delivered_at is not null', [
            channel,
          ])
        ).length === count,
      { what: `${count} bundles are delivered` },
    );
  const idOf = ({ headers }: Received) => String(headers['webhook-id']);
  /** What a receiver of Standard Webhooks does, with somebody else's code. */
  const verified = ({ body, headers }: Received) =>
    new Webhook(secret).verify(body, headers as Record<string, string>) as {
      type: string;
      data: { total: number; alerts: Alert[] };
    };

  it('makes a handful of requests of 10,000 alerts to 10,000 groups that come over time', async () => {
    start([toWebhook(), toSlack()], { collectMs: 50, everyMs: 1_000 });
    const alerts = newGroups(10_000);
    const startedAt = performance.now();
    for (let at = 0; at < alerts.length; at += 100) {
      await raiseAlerts(store, alerts.slice(at, at + 100));
      await aWhile(2);
    }
    await until(async () => (await store.query('select from alerts where bundle_id is null')).length === 0, {
      what: 'all have been told',
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    const bundles = (await store.query('select distinct bundle_id from alerts')).length;
    await delivered(bundles);
    await delivered(bundles, 'slack');
    assert.ok(bundles <= 2 + seconds, `${bundles} bundles in ${seconds} s`); // one a second
    assert.equal(receiver.received.length, 2 * bundles);
    const events = receiver.received.filter((each) => 'webhook-id' in each.headers).map(verified);
    assert.equal(
      events.reduce((sum, { data }) => sum + data.total, 0),
      10_000,
    );
    for (const { body } of receiver.received) assert.ok(body.length < 20_000, `${body.length} bytes`);
  });

  it('delivers once a webhook that was down for a while is back: the same id and bytes each time, signed', async () => {
    await receiver.close();
    await raiseAlerts(store, [anAlert(), anAlert({ kind: 'retriable storm', subject: 'step tms' })]);
    start([toWebhook()]);
    const tries = () =>
      store.query<{ attempts: number; error: string }>('select attempts, error from alert_deliveries');
    await until(async () => ((await tries())[0]?.attempts ?? 0) >= 3, { what: 'it was refused a few times' });
    assert.equal((await tries())[0]?.error, `${new URL(receiver.url).origin}: ECONNREFUSED`);

    receiver.answer = status(503);
    await receiver.up();
    await until(() => receiver.received.length >= 2, { what: 'it was answered with 503' });
    assert.ok(await counted('chodang_alerts_undelivered{channel="webhook",state="waiting"} 1'));

    receiver.answer = status(204);
    await delivered(1);
    assert.equal(new Set(receiver.received.map(idOf)).size, 1);
    assert.match(idOf(receiver.received[0]!), /^msg_[0-9a-f-]{36}$/);
    assert.equal(new Set(receiver.received.map(({ body }) => body)).size, 1);
    for (const each of receiver.received) {
      const { type, data } = verified(each);
      assert.equal(type, 'chodang.alerts');
      assert.deepEqual(
        data.alerts.map(({ kind, subject }) => ({ kind, subject })),
        [
          { kind: 'group new', subject: 'group 12' },
          { kind: 'retriable storm', subject: 'step tms' },
        ],
      );
    }
    assert.ok(log.said('alerts were not delivered; they are sent again').length >= 5);
    await until(() => counted('chodang_alerts_undelivered{channel="webhook",state="waiting"} 0'), {
      what: 'nothing waits any more',
    });
    assert.ok(await counted('chodang_alerts_delivered_total{channel="webhook"} 1'));
  });

  it('keeps no channel waiting for another one', async () => {
    const silent = await aReceiver();
    running.push({ stop: () => silent.close() });
    silent.answer = () => undefined;
    await raiseAlerts(store, [anAlert()]);
    start([slackChannel({ url: silent.url }), toWebhook()]);
    await delivered(1);
    await until(() => silent.received.length === 1, { what: 'the silent one was asked' });
    await raiseAlerts(store, [anAlert()]);
    await delivered(2);
  });

  it('sends nothing twice where two do so side by side', async () => {
    for (let sender = 0; sender < 3; sender += 1) start([toWebhook(), logChannel(log.log)], { collectMs: 5 });
    const told: string[] = [];
    for (const alert of newGroups(20)) {
      await raiseAlerts(store, [alert]);
      told.push(alert.subject);
      await until(() => receiver.received.length > 0, { what: 'the first was sent' });
    }
    await until(async () => (await store.query('select from alerts where bundle_id is null')).length === 0, {
      what: 'all have been told',
    });
    await delivered((await store.query('select distinct bundle_id from alerts')).length);
    const subjects = receiver.received.flatMap((each) =>
      verified(each).data.alerts.map(({ subject }) => subject),
    );
    assert.deepEqual(subjects.toSorted(), told.toSorted());
    assert.equal(new Set(receiver.received.map(idOf)).size, receiver.received.length);
  });

  it('sends again, under the same id, what a process that was killed had sent but not marked', async () => {
    await raiseAlerts(store, [anAlert()]);
    const options = { collectMs: 0, everyMs: 0, giveUpMs: 60_000, lookMs: 10, leaseMs: 400 };
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(new URL('sender-child.ts', import.meta.url))],
      {
        env: {
          ...process.env,
          SENDER: JSON.stringify({ ...options, postgres: url, url: receiver.url, secret }),
        },
        stdio: 'inherit',
      },
    );
    const ended = once(child, 'exit');
    receiver.answer = () => child.kill('SIGKILL');
    await ended;
    receiver.answer = status(200);
    start([toWebhook()], options);
    await delivered(1);
    assert.equal(receiver.received.length, 2);
    const [first, second] = receiver.received;
    assert.equal(idOf(second!), idOf(first!));
    assert.equal(second?.body, first?.body);
    verified(second!);
  });

  it('hands what it is sending to whoever comes next when it is stopped', async () => {
    receiver.answer = () => undefined;
    await raiseAlerts(store, [anAlert()]);
    const first = start([toWebhook()]);
    await until(() => receiver.received.length === 1, { what: 'it is being sent' });
    await first.stop();
    receiver.answer = status(200);
    start([toWebhook()]);
    await delivered(1);
    assert.equal(new Set(receiver.received.map(idOf)).size, 1);
    assert.deepEqual(log.lines, []);
  });

  it('gives up in the end, visibly, and shows no more of the URL than its origin', async () => {
    receiver.answer = status(404, {}, 'Cannot POST /services/T00/B00/secret-path');
    await raiseAlerts(store, [anAlert()]);
    start([toSlack()], { giveUpMs: 100 });
    const gaveUp = 'alerts were not delivered and have been given up';
    const [line] = await until(() => log.said(gaveUp).length > 0 && log.said(gaveUp), { what: 'it gave up' });
    const { origin } = new URL(receiver.url);
    const { level, channel, why } = line as unknown as Record<string, string>;
    assert.deepEqual(
      { level, channel, why },
      { level: 'error', channel: 'slack', why: `${origin} answered 404` },
    );
    assert.ok(!JSON.stringify(log.lines).includes('secret'));
    await until(() => counted('chodang_alerts_undelivered{channel="slack",state="given_up"} 1'), {
      what: 'the metrics say so',
    });
    const tries = receiver.received.length;
    assert.ok(await counted(`chodang_alert_delivery_failures_total{channel="slack"} ${tries}`));
    await aWhile();
    assert.equal(receiver.received.length, tries);
  });

  it('says what Slack says why, which is a word of its own', async () => {
    receiver.answer = status(404, {}, 'channel_is_archived');
    await raiseAlerts(store, [anAlert()]);
    start([toSlack()], { giveUpMs: 0 });
    const line = await until(() => log.lines[0] as { why?: string } | undefined, { what: 'it gave up' });
    assert.match(line.why ?? '', /answered 404 channel_is_archived$/);
  });

  it('takes a redirect for a failure, and follows none', async () => {
    receiver.answer = status(307, { location: receiver.url });
    await raiseAlerts(store, [anAlert()]);
    start([toWebhook()], { giveUpMs: 0 });
    const line = await until(() => log.lines[0] as { why?: string } | undefined, { what: 'it gave up' });
    assert.match(line.why ?? '', /answered 307$/);
    assert.equal(receiver.received.length, 1);
  });

  it('leaves a channel alone for as long as it asks', async () => {
    receiver.answer = status(429, { 'retry-after': '1' });
    await raiseAlerts(store, newGroups(1));
    start([toSlack()]);
    await until(() => receiver.received.length === 1, { what: 'it was asked to wait' });
    receiver.answer = status(200);
    await raiseAlerts(store, newGroups(1, 2));
    await delivered(2, 'slack');
    const [refused, ...others] = receiver.received.map(({ at }) => at);
    assert.ok(others[0]! - refused! >= 950, `${others[0]! - refused!} ms`);
  }).timeout(10_000);

  it('tells the log of every bundle, also where there is no channel', async () => {
    await raiseAlerts(store, [...newGroups(12), anAlert({ kind: 'group reopened' })]);
    start([logChannel(log.log)]);
    const line = await until(() => log.lines[0] as unknown as Record<string, unknown> | undefined, {
      what: 'it is logged',
    });
    assert.equal(line['level'], 'error');
    assert.equal(line['msg'], 'developers are alerted: 12 new groups of failures, 1 group reopened');
    assert.equal(line['alerts'], 13);
    assert.equal((line['some'] as string[])[0], 'group new: group 1: step tms, open 1');
    assert.equal(
      (line['some'] as string[]).at(-1),
      'group reopened: group 12: step tms, error class TypeError, message broken, open 1',
    );
    await delivered(1, 'log');
    assert.equal(log.lines.length, 1);
  });

  it('goes on when Postgres was away, and sends again what it could not mark', async () => {
    const wire = await proxyTo(Number(new URL(url).port));
    const far = openStore({ url: wire.over(url), poolSize: 3, log: quiet, connectTimeoutMs: 500 });
    try {
      receiver.answer = (response) => {
        wire.cut();
        response.writeHead(200).end();
      };
      await raiseAlerts(store, [anAlert()]);
      start([toWebhook()], { store: far, leaseMs: 300 });
      await until(() => log.said('sending alerts to webhook: it failed, and is tried again').length === 1, {
        what: 'it noticed that Postgres is away',
      });
      receiver.answer = status(200);
      wire.mend();
      await delivered(1);
      assert.equal(receiver.received.length, 2);
      assert.equal(new Set(receiver.received.map(idOf)).size, 1);
      assert.ok(log.lines.length < 10, `${log.lines.length} lines: not one for each look`);
    } finally {
      await running.pop()?.stop();
      await far.close();
      await wire.close();
    }
  });

  it('waits longer after each try that failed, up to ten minutes, and not for all alike', () => {
    const first = 1_000;
    assert.deepEqual(
      [1, 2, 3, 10, 11, 5_000].map((tries) => againAfterMs(tries, first, () => 0)),
      [1_000, 2_000, 4_000, 512_000, 600_000, 600_000],
    );
    assert.equal(
      againAfterMs(3, first, () => 0.5),
      3_000,
    );
  });
});
