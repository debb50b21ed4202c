import assert from 'node:assert/strict';
import type { Config } from '../../src/config/schema.ts';
import { topologyOf } from '../../src/config/topology.ts';
import { parts } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { exchangesOf, queuesOf } from '../../src/pipeline/topology.ts';
import { openStore } from '../../src/store/store.ts';
import { connectTo } from '../../src/switches/zookeeper.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { queuesIn } from '../support/queues.ts';
import { freshDatabase, freshVhost, freshZookeeperRoot, simulatorUrl } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { declare, found, onChannel, settingsOf, troubles } from './patient.ts';

/** An address at which nobody listens. */
const nowhere = '127.0.0.1:1';

describe('the doctor', function () {
  this.timeout(60_000);
  let world: World;
  let settings: Config;
  before(async () => {
    world = await aWorld();
    await world.start();
    settings = settingsOf(world);
  });
  after(() => world.close());

  it('finds all well where everything runs', async () => {
    const { noticeId } = await world.post(await world.orders(3));
    await world.settled(noticeId);
    const report = await until(
      async () => {
        const report = await examine({ settings, environment: 'test' });
        assert.deepEqual(troubles(report.checks), []);
        return report;
      },
      { what: 'all is well', timeoutMs: 20_000 },
    );
    assert.equal(report.ok, true);
    assert.deepEqual([...new Set(report.checks.map(({ part }) => part))], parts);
  });

  const away: [string, (settings: Config) => void, RegExp[]][] = [
    [
      'Postgres',
      (settings) => {
        settings.postgres.url = `postgres://chodang:secret@${nowhere}/chodang`;
      },
      [/^postgres: server: wrong$/, /^failures: failures: warn$/],
    ],
    [
      'RabbitMQ',
      (settings) => {
        settings.rabbitmq.url = `amqp://chodang:secret@${nowhere}`;
        settings.rabbitmq.managementUrl = `http://chodang:secret@${nowhere}`;
      },
      [
        /^rabbitmq: server: wrong$/,
        ...Array.from(
          { length: 8 },
          () =>
            /^rabbitmq: (exchanges|arguments|bindings|feature flags|alarms|connections|clock|oldest messages): warn$/,
        ),
      ],
    ],
    [
      'ZooKeeper',
      (settings) => {
        settings.zookeeper.connect = nowhere;
      },
      [/^zookeeper: server 127.0.0.1:1: wrong$/],
    ],
    [
      'the gateway',
      (settings) => {
        settings.tms.url = `http://${nowhere}`;
      },
      [/^gateway: answers: wrong$/],
    ],
  ];
  for (const [name, takeAway, expected] of away)
    it(`looks at all the rest while ${name} is away, and says why`, async () => {
      const without = structuredClone(settings);
      takeAway(without);
      const report = await examine({ settings: without, environment: 'test' });
      assert.equal(report.ok, false);
      const told = troubles(report.checks);
      assert.equal(told.length, expected.length, told.join('\n'));
      for (const [at, pattern] of expected.entries()) assert.match(told[at]!, pattern);
      const wrong = report.checks.find(({ status }) => status === 'wrong');
      assert.match(wrong!.found, /ECONNREFUSED/);
      assert.doesNotMatch(JSON.stringify(report), /secret/);
    });

  it('waits for none that says nothing', async () => {
    const proxies: Proxy[] = [];
    const silent = async (port: string | undefined) => {
      const proxy = await proxyTo(Number(port));
      proxy.silence();
      proxies.push(proxy);
      return proxy;
    };
    const mute = structuredClone(settings);
    mute.postgres.url = (await silent('1')).over(settings.postgres.url);
    mute.rabbitmq.url = (await silent('1')).over(settings.rabbitmq.url);
    mute.rabbitmq.managementUrl = (await silent('1')).over(settings.rabbitmq.managementUrl);
    mute.zookeeper.connect = (await silent('1')).address;
    mute.tms.url = (await silent('1')).over(settings.tms.url);
    const begun = Date.now();
    const checks = await found(mute);
    assert(Date.now() - begun < 8_000, `it took ${Date.now() - begun} ms`);
    const wrong = checks.filter(({ status }) => status === 'wrong').map(({ part }) => part);
    assert.deepEqual(wrong, ['postgres', 'rabbitmq', 'zookeeper', 'gateway']);
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });

  it('tells no password', async () => {
    const report = JSON.stringify(await examine({ settings, environment: 'test' }));
    for (const url of [settings.postgres.url, settings.rabbitmq.url])
      assert(!report.includes(new URL(url).password), 'a password was told');
  });
});

describe('the doctor, where nothing is yet', function () {
  this.timeout(60_000);

  it('makes nothing', async () => {
    const [database, vhost, place] = await Promise.all([freshDatabase(), freshVhost(), freshZookeeperRoot()]);
    const world = await aWorld();
    const settings = structuredClone(world.config);
    Object.assign(settings.rabbitmq, { url: vhost.url, managementUrl: vhost.managementUrl });
    Object.assign(settings.zookeeper, place);
    settings.postgres.url = database.url;
    settings.tms.url = simulatorUrl();

    const checks = await found(settings);
    const topology = topologyOf(settings);
    assert.equal(
      checks.filter(({ found }) => found === 'it is not there').length,
      queuesOf(topology).length + exchangesOf(topology).length,
    );

    assert.deepEqual(await queuesIn(vhost), []);
    const connection = await connectTo(place.connect, 6_000);
    assert.equal(await connection.exists(place.root), null);
    await connection.close();
    const store = openStore({ url: database.url, poolSize: 1, log: world.store.log });
    assert.deepEqual(await store.query("select 1 from pg_tables where schemaname = 'public'"), []);
    await store.close();
    await Promise.all([world.close(), vhost.drop(), database.drop()]);
  });

  it('takes no message, not even for a look', async () => {
    const world = await aWorld();
    const settings = settingsOf(world);
    await declare(settings);
    await onChannel(settings.rabbitmq.url, async (channel) => {
      channel.publish('chodang.steps', 'tms.bulk', Buffer.from('{}'), { persistent: true });
      await channel.waitForConfirms();
    });
    await found(settings);
    await onChannel(settings.rabbitmq.url, async (channel) => {
      const message = await channel.get('tms.bulk');
      assert(message !== false);
      assert.equal(message.fields.redelivered, false);
      assert.equal(message.properties.headers?.['x-delivery-count'] ?? 0, 0);
    });
    await world.close();
  });
});
