import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { vhostOf } from '../../src/doctor/management.ts';
import { clock, connectionFindings, flagFindings } from '../../src/doctor/nodes.ts';
import { openBroker } from '../../src/pipeline/broker/broker.ts';
import { freshVhost, rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { declare, found, onChannel, says, theCheck, troubles } from './patient.ts';

describe('the doctor on RabbitMQ', function () {
  this.timeout(60_000);
  let vhost: Awaited<ReturnType<typeof freshVhost>>;
  let settings: Config;
  beforeEach(async () => {
    vhost = await freshVhost();
    // Nothing but a RabbitMQ: the other parts are left out.
    settings = loadConfig({ env: {} });
    Object.assign(settings.rabbitmq, { url: vhost.url, managementUrl: vhost.managementUrl });
  });
  afterEach(() => vhost.drop());
  const look = () => found(settings, 'rabbitmq');

  it('says of a virtual host that no process has seen how to get everything declared', async () => {
    const checks = await look();
    says(
      checks,
      'queue tms.bulk',
      'wrong',
      /^it is not there$/,
      /"chodang start": it declares all that is missing/,
    );
    says(checks, 'exchange chodang.steps', 'wrong', /^it is not there$/);
    says(checks, 'binding of tms.failed', 'wrong', /^it is not there/, /declares all that is missing/);
    says(checks, 'server', 'ok', /^RabbitMQ \d/);
  });

  it('finds queues that nobody empties', async () => {
    await declare(settings);
    const checks = await look();
    const lanes = Object.keys(settings.steps).flatMap((step) =>
      ['express', 'bulk', 'failed'].map((lane) => `${step}.${lane}`),
    );
    assert.deepEqual(
      troubles(checks).toSorted(),
      [...lanes, 'orders.bulk', 'orders.failed'].map((queue) => `rabbitmq: queue ${queue}: wrong`).toSorted(),
    );
    says(checks, 'queue orders.bulk', 'wrong', /0 consumers/, /"chodang start --only orders"/);
    says(
      checks,
      'queue delay.bulk',
      'wrong',
      /^0 messages waiting, 0 consumers$/,
      /step delay runs nowhere, "chodang start --only delay"; .*circuit is open/,
    );
    says(checks, 'queue delay.failed', 'wrong', /0 consumers/, /"chodang start --only failures"/);
  });

  it('counts messages and consumers, and tells a lane without one from a step without any', async () => {
    await declare(settings);
    await onChannel(vhost.url, async (channel) => {
      await channel.consume('delay.bulk', () => undefined);
      await channel.consume('tms.retriable', () => undefined);
      channel.publish('chodang.steps', 'delay.express', Buffer.from('{}'));
      await channel.waitForConfirms();
      const checks = await look();
      says(checks, 'queue delay.bulk', 'ok', /^0 messages waiting, 1 consumer$/);
      says(
        checks,
        'queue delay.express',
        'wrong',
        /^1 message waiting, 0 consumers$/,
        /restart the process that runs step delay/,
      );
      says(checks, 'queue tms.retriable', 'wrong', /1 consumer$/, /rabbitmqctl list_consumers/);
    });
  });

  it('finds a queue that was deleted', async () => {
    await declare(settings);
    await onChannel(vhost.url, (channel) => channel.deleteQueue('tms.express'));
    const checks = await look();
    says(checks, 'queue tms.express', 'wrong', /^it is not there$/, /RabbitMQ lost its messages/);
    says(checks, 'binding of tms.express', 'wrong', /^it is not there/);
  });

  it('names each argument in which a queue differs', async () => {
    const other = structuredClone(settings);
    other.steps['tms']!.retryMs = 7_000;
    await declare(other);
    await onChannel(vhost.url, async (channel) => {
      await channel.deleteQueue('tms.failed');
      await channel.assertQueue('tms.failed', {
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-max-length': 5 },
      });
    });
    const checks = await look();
    const retriable = theCheck(checks, 'arguments of tms.retriable');
    assert(retriable.status === 'wrong');
    assert.deepEqual([retriable.found, retriable.expected], ['x-message-ttl = 7000', 'x-message-ttl = 5000']);
    assert.match(retriable.remedy, /406/);
    const failed = theCheck(checks, 'arguments of tms.failed');
    assert(failed.status === 'wrong');
    assert.deepEqual(
      [failed.found, failed.expected],
      ['x-delivery-limit not set, x-max-length = 5', 'x-delivery-limit = 100000, x-max-length not set'],
    );
  });

  it('finds an exchange of another type', async () => {
    await onChannel(vhost.url, (channel) =>
      channel.assertExchange('chodang.failed', 'fanout', { durable: false }),
    );
    says(await look(), 'exchange chodang.failed', 'wrong', /^not durable, of type fanout$/);
  });

  it('finds a binding that is missing, and one that nobody of ours made', async () => {
    await declare(settings);
    await onChannel(vhost.url, async (channel) => {
      await channel.unbindQueue('tms.bulk', 'chodang.steps', 'tms.bulk');
      await channel.assertQueue('spy', { durable: true });
      await channel.bindQueue('spy', 'chodang.steps', '#');
    });
    const checks = await look();
    says(checks, 'binding of tms.bulk', 'wrong', /not there/, /restart any process/);
    says(
      checks,
      'binding of spy',
      'warn',
      /queue spy is bound to chodang.steps with #/,
      /rabbitmqadmin delete binding source=chodang.steps destination_type=queue destination=spy properties_key=%23/,
    );
  });

  it('looks at what it can without the management API, and says how to have more', async () => {
    await declare(settings);
    settings.rabbitmq.managementUrl = '';
    const checks = await look();
    says(checks, 'management', 'warn', /oldest messages$/, /set CHODANG_RABBITMQ_MANAGEMENT_URL=/);
    says(checks, 'queue tms.retriable', 'ok', /0 consumers/);
  });

  it('says of an address of the management API that it makes no sense', async () => {
    settings.rabbitmq.managementUrl = 'http://mq example';
    says(
      await look(),
      'management',
      'warn',
      /^not asked: Invalid URL/,
      /correct CHODANG_RABBITMQ_MANAGEMENT_URL/,
    );
  });

  it('says who is not let in by the management API, and tells no password', async () => {
    const url = new URL(vhost.managementUrl);
    url.password = 'popcorn';
    settings.rabbitmq.managementUrl = url.href;
    const checks = await look();
    says(
      checks,
      'alarms',
      'warn',
      /does not let user "chodang" see/,
      /rabbitmqctl set_user_tags USER monitoring/,
    );
    assert.doesNotMatch(JSON.stringify(checks), /popcorn/);
  });

  it('says what is wrong with a virtual host or a user that there is not', async () => {
    settings.rabbitmq.url = `${vhost.url}_not`;
    says(await look(), 'server', 'wrong', /refused the virtual host: there is none of that name/);
    const url = new URL(vhost.url);
    url.password = 'popcorn';
    settings.rabbitmq.url = url.href;
    says(await look(), 'server', 'wrong', /ACCESS_REFUSED/i, /correct CHODANG_RABBITMQ_URL/);
  });

  it('finds a memory alarm, and whose connections are blocked by it', async () => {
    const silent = { info: () => {}, warn: () => {}, error: () => {} };
    const broker = openBroker({
      url: vhost.url,
      topology: { steps: settings.steps, lanes: Object.keys(settings.lanes) },
      name: 'chodang 1',
      publishWaitMs: 1_000,
      log: silent,
      onFatal: (error) => assert.fail(error),
    });
    await broker.connected(10_000);
    const waiting: Promise<void>[] = [];
    try {
      await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.00001');
      await until(
        async () => {
          waiting.push(
            broker.publish({
              exchange: 'chodang.steps',
              routingKey: 'tms.bulk',
              content: Buffer.from('{}'),
              messageId: String(waiting.length),
              type: 'tms.v1',
              headers: {},
            }),
          );
          const checks = await look();
          says(checks, 'alarms', 'wrong', /memory alarm: nobody can publish/, /free memory/);
          says(checks, 'connections', 'wrong', /^1 of \d connections? are blocked/);
          return true;
        },
        { what: 'the alarm is told', timeoutMs: 30_000 },
      );
    } finally {
      await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.4');
      await Promise.all(waiting);
      await broker.close();
    }
  });

  it('wants the feature flags that are there to be enabled; those that are gone are always on', () => {
    const flags = (state: string) => [
      { name: 'quorum_queue', state: 'enabled' },
      { name: 'stream_queue', state },
    ];
    assert.equal(flagFindings(flags('enabled'))[0]?.status, 'ok');
    assert.equal(flagFindings([{ name: 'khepri_db', state: 'disabled' }])[0]?.status, 'ok');
    const [disabled] = flagFindings(flags('disabled'));
    assert(disabled?.status === 'wrong');
    assert.equal(disabled.remedy, 'rabbitmqctl enable_feature_flag stream_queue');
  });

  it('counts processes of ours by their connections', () => {
    const [told] = connectionFindings([
      { state: 'running', user_provided_name: 'chodang 17 consume' },
      { state: 'flow', user_provided_name: 'chodang 17 publish' },
      { state: 'running' },
    ]);
    assert.deepEqual([told?.status, told?.found], ['ok', 'none is blocked; 1 process of ours consumes']);
  });

  it('judges the clock to the second', () => {
    assert.deepEqual(
      [400, -1_400, 2_000, -60_000].map((skewMs) => clock(skewMs).status),
      ['ok', 'ok', 'warn', 'warn'],
    );
  });

  it('reads the virtual host from a URL as amqplib does', () => {
    assert.deepEqual(
      ['amqp://h', 'amqp://h/', 'amqp://h/%2F', 'amqp://h/shop', 'amqp://h/a%2Fb?x=1'].map(vhostOf),
      ['/', '/', '/', 'shop', 'a/b'],
    );
  });
});
