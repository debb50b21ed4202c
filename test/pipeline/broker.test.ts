import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { pino } from 'pino';
import { done, forward } from '../../src/pipeline/actor.ts';
import { openBroker } from '../../src/pipeline/broker/broker.ts';
import type { FatalTopologyError } from '../../src/pipeline/broker/declare.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { crate } from '../support/crates.ts';
import { aGate, type CrateActor, cratePipeline, stepOptions } from '../support/pipeline.ts';
import { freshVhost, rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';

describe('RabbitMQ misbehaving', function () {
  this.timeout(60_000);
  let pipeline: Awaited<ReturnType<typeof cratePipeline>>;

  const collecting = () => {
    const ran: string[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        ran.push(...batch.map(({ item }) => item.id));
        return batch.map(() => done);
      },
    };
    return { actor, ran };
  };
  const passing: CrateActor = { run: async (batch) => batch.map(() => forward) };
  const manage = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const { origin, username, password } = new URL(pipeline.vhost.managementUrl);
    const response = await fetch(origin + path, {
      method,
      headers: {
        authorization: `Basic ${btoa(`${username}:${password}`)}`,
        'content-type': 'application/json',
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    assert(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return response.status === 204 ? undefined : JSON.parse((await response.text()) || 'null');
  };

  describe('while a pipeline runs', () => {
    afterEach(() => pipeline.close());

    it('a queue that was unbound: the publish is an error, the topology is declared again, nothing is lost', async () => {
      const bake = collecting();
      pipeline = await cratePipeline({ weigh: passing, bake: bake.actor });
      pipeline.start();
      await pipeline.send([crate('before')]);
      await until(() => bake.ran.length === 1, { what: 'it works to begin with' });
      const connection = await connect(pipeline.vhost.url);
      const channel = await connection.createChannel();
      await channel.unbindQueue('bake.express', exchanges.steps, 'bake.express');
      await connection.close();
      await pipeline.send([crate('after')]);
      await until(() => bake.ran.includes('after'), { what: 'the crate arrives all the same' });
      assert(
        pipeline.seen.retriable.some(({ attempt }) => attempt === 'unchanged'),
        'it waited, no attempt burnt',
      );
      assert.deepEqual(bake.ran, ['before', 'after']);
    });

    it('rejects the publish of a message that no queue is bound for', async () => {
      pipeline = await cratePipeline({ weigh: passing });
      await assert.rejects(
        pipeline.broker.publish({
          exchange: exchanges.steps,
          routingKey: 'nobody.express',
          content: Buffer.from('{}'),
          type: 'nobody.v1',
          messageId: randomUUID(),
          headers: {},
        }),
        { name: 'UnroutableError', message: /no queue bound to chodang\.steps for nobody\.express/ },
      );
    });

    it('a publishing channel that is closed under us: what was not confirmed fails, the next publish works', async () => {
      const weigh = collecting();
      pipeline = await cratePipeline({ weigh: weigh.actor });
      pipeline.start();
      const elsewhere = {
        exchange: 'no.such.exchange',
        routingKey: 'x',
        content: Buffer.from('{}'),
        type: 'x',
        messageId: randomUUID(),
        headers: {},
      };
      await assert.rejects(pipeline.broker.publish(elsewhere), { name: 'InfrastructureError' });
      await pipeline.send([crate('after')]);
      await until(() => weigh.ran.includes('after'), { what: 'the next crate arrives' });
    });

    it('a queue deleted under its consumer: it is declared and consumed again', async () => {
      const weigh = collecting();
      pipeline = await cratePipeline({ weigh: weigh.actor });
      pipeline.start();
      await pipeline.send([crate('before')]);
      await until(() => weigh.ran.length === 1, { what: 'it works to begin with' });
      await manage('DELETE', `/api/queues/${pipeline.vhost.name}/weigh.express`);
      // A message confirmed while its queue is being deleted goes with it: that is what deleting means.
      const arrives = async () => {
        await pipeline.send([crate('after')]);
        return weigh.ran.includes('after');
      };
      await until(arrives, { what: 'the queue is back and consumed again', timeoutMs: 30_000 });
    });

    it('both connections cut in the middle: everything settles', async () => {
      const bake = collecting();
      const gate = aGate();
      const slow: CrateActor = {
        run: async (batch) => {
          await gate.opened;
          return batch.map(() => forward);
        },
      };
      pipeline = await cratePipeline({ weigh: slow, bake: bake.actor });
      pipeline.start();
      for (let at = 0; at < 10; at += 1) await pipeline.send([crate(`c${at}`)]);
      const connections = await until(
        async () => {
          const all = (await manage('GET', `/api/vhosts/${pipeline.vhost.name}/connections`)) as {
            name: string;
          }[];
          return all.length >= 2 && all;
        },
        { what: 'the management page lists both connections' },
      );
      for (const { name } of connections)
        await manage('DELETE', `/api/connections/${encodeURIComponent(name)}`);
      gate.open();
      await until(() => new Set(bake.ran).size === 10, {
        what: 'all ten crates have been baked',
        timeoutMs: 30_000,
      });
    });

    it('a restart: everything settles', async () => {
      const bake = collecting();
      pipeline = await cratePipeline({ weigh: passing, bake: bake.actor });
      for (let at = 0; at < 50; at += 1) await pipeline.send([crate(`c${at}`)]);
      pipeline.start();
      await rabbitmq().restart();
      await until(() => new Set(bake.ran).size === 50, {
        what: 'all fifty crates are baked',
        timeoutMs: 40_000,
      });
      const { broker } = pipeline;
      await until(() => broker.ready().ok, { what: 'it is ready to publish again' });
    });

    it('a memory alarm: publishers wait and are told, and the last queue still drains', async () => {
      const bake = collecting();
      let open = false;
      const gated: CrateActor = {
        run: async (batch) => {
          await until(() => open, { what: 'the gate is open', timeoutMs: 30_000 });
          return bake.actor.run(batch);
        },
      };
      pipeline = await cratePipeline({ weigh: passing, bake: gated });
      pipeline.start();
      for (let at = 0; at < 20; at += 1) await pipeline.send([crate(`c${at}`)]);
      await until(async () => (await pipeline.broker.depth('weigh.express')) === 0, {
        what: 'all are weighed',
      });
      await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.00001');
      try {
        let confirmed = false;
        const sent = pipeline.send([crate('late')]).then(() => {
          confirmed = true;
        });
        await until(() => !pipeline.broker.ready().ok, { what: 'the broker says it is blocked' });
        assert.match(JSON.stringify(pipeline.broker.ready()), /blocks publishers/);
        open = true;
        await until(() => bake.ran.length === 20, {
          what: 'what waits for the last step drains under the alarm',
        });
        await until(async () => (await pipeline.broker.depth('bake.express')) === 0, {
          what: 'and is acked',
        });
        assert.equal(confirmed, false);
        await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.4');
        await sent;
      } finally {
        await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.4');
      }
      await until(() => bake.ran.includes('late'), { what: 'what was held back arrives' });
    });
  });

  it('a queue with other arguments: it says which, and what to do', async () => {
    const vhost = await freshVhost();
    const connection = await connect(vhost.url);
    const channel = await connection.createChannel();
    await channel.assertQueue('weigh.retriable', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await connection.close();
    const fatal: FatalTopologyError[] = [];
    const broker = openBroker({
      url: vhost.url,
      topology: { steps: { weigh: stepOptions() }, lanes: ['express'] },
      name: 'test',
      publishWaitMs: 100,
      log: pino({ level: 'silent' }),
      onFatal: (error) => fatal.push(error),
    });
    await until(() => fatal.length === 1, { what: 'the fatal error is told' });
    assert.match(String(fatal[0]?.message), /weigh\.retriable.*delete it, and start again/s);
    assert.equal(broker.ready().ok, false);
    await broker.close();
    await vhost.drop();
  });

  it('being slow to confirm: there is no room while more bytes than allowed wait, and there is again when they are confirmed', async () => {
    const vhost = await freshVhost();
    const broker = openBroker({
      url: vhost.url,
      topology: { steps: { weigh: stepOptions() }, lanes: ['express'] },
      name: 'test',
      publishWaitMs: 2_000,
      maxUnconfirmedBytes: 100,
      log: pino({ level: 'silent' }),
      onFatal: (error) => assert.fail(error),
    });
    const publish = (routingKey: string, bytes: number) =>
      broker.publish({
        exchange: exchanges.steps,
        routingKey,
        content: Buffer.alloc(bytes),
        type: 'weigh.v1',
        messageId: randomUUID(),
        headers: {},
      });
    try {
      await broker.connected(10_000);
      const first = publish('weigh.express', 60);
      assert.deepEqual(broker.hasRoom(), { ok: true });
      const second = assert.rejects(publish('nobody.express', 41), { name: 'UnroutableError' });
      assert.deepEqual(broker.hasRoom(), { ok: false, why: 'RabbitMQ has yet to confirm 101 bytes' });
      assert.deepEqual(broker.ready(), { ok: true }, 'what there is can be published all the same');
      await Promise.all([first, second]);
      assert.deepEqual(broker.hasRoom(), { ok: true });
    } finally {
      await broker.close();
      await vhost.drop();
    }
  });

  it('being away at the start: publishing says so, and works once it is there', async () => {
    const vhost = await freshVhost();
    await rabbitmq().stop();
    const broker = openBroker({
      url: vhost.url,
      topology: { steps: { weigh: stepOptions() }, lanes: ['express'] },
      name: 'test',
      publishWaitMs: 100,
      log: pino({ level: 'silent' }),
      onFatal: (error) => assert.fail(error),
    });
    const message = {
      exchange: exchanges.steps,
      routingKey: 'weigh.express',
      content: Buffer.from('{}'),
      type: 'weigh.v1',
      messageId: randomUUID(),
      headers: {},
    };
    try {
      await assert.rejects(broker.publish(message), { name: 'InfrastructureError', message: /away/ });
      assert.deepEqual(broker.ready(), { ok: false, why: 'RabbitMQ is away' });
    } finally {
      await rabbitmq().start();
    }
    await until(() => broker.ready().ok, { what: 'the broker is ready', timeoutMs: 30_000 });
    await broker.publish(message);
    await broker.close();
    await vhost.drop();
  });
});
