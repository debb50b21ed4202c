import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { done, forward } from '../../src/pipeline/actor.ts';
import type { Delivery } from '../../src/pipeline/broker/delivery.ts';
import { crate } from '../support/crates.ts';
import { aGate, type CrateActor, cratePipeline } from '../support/pipeline.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { stack } from '../support/servers.ts';
import { until } from '../support/wait.ts';

/** How a method of AMQP begins on the wire: its class, and its number in there. */
const method = (classId: number, methodId: number) => Buffer.from([0, classId, 0, methodId]);
const channelClose = method(20, 40);
const messageGot = method(60, 71);
/** RabbitMQ closing a connection: a whole frame of connection.close, with the code 320 and no text. */
const connectionClose = Buffer.from([1, 0, 0, 0, 0, 0, 11, 0, 10, 0, 50, 1, 64, 0, 0, 0, 0, 0, 0xce]);

describe('a connection to RabbitMQ that is lost', function () {
  this.timeout(20_000);
  let wire: Proxy;
  let pipeline: Awaited<ReturnType<typeof cratePipeline>>;
  before(async () => {
    wire = await proxyTo(Number(new URL(stack().rabbitmq.url ?? '').port));
  });
  after(() => wire.close());
  afterEach(async () => {
    wire.mend();
    await pipeline.close();
  });

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
  const idle: CrateActor = { run: async (batch) => batch.map(() => done) };

  describe('before it is ready', () => {
    const moments: [what: string, sent: Buffer][] = [
      ['a channel is opened', method(20, 10)],
      ['an exchange is declared', method(40, 10)],
      ['a queue is declared', method(50, 10)],
      ['a queue is bound', method(50, 20)],
      ['the channel is closed', channelClose],
      ['confirms are asked for', method(85, 10)],
    ];
    for (const [what, sent] of moments)
      it(`as ${what}: it is made again, and all works`, async () => {
        const twice = wire.cutBefore(sent).then(() => wire.cutBefore(sent));
        const weigh = collecting();
        pipeline = await cratePipeline({ weigh: weigh.actor }, { wire });
        await twice;
        pipeline.start();
        await pipeline.send([crate('a')]);
        await until(() => weigh.ran.includes('a'), { what: 'the crate is weighed' });
      });

    it('by RabbitMQ, in the very packet that makes it ready: it is made again, and all works', async () => {
      const lost = wire.cutAfter(method(85, 11), connectionClose);
      const weigh = collecting();
      pipeline = await cratePipeline({ weigh: weigh.actor }, { wire });
      await lost;
      pipeline.start();
      await pipeline.send([crate('a')]);
      await until(() => weigh.ran.includes('a'), { what: 'the crate is weighed' });
    });
  });

  describe('before RabbitMQ has answered that a channel is closed', () => {
    it('a consumer whose queue was deleted consumes again', async () => {
      const weigh = collecting();
      pipeline = await cratePipeline({ weigh: weigh.actor }, { wire });
      pipeline.start();
      await pipeline.send([crate('before')]);
      await until(() => weigh.ran.includes('before'), { what: 'it works to begin with' });
      const lost = wire.cutBefore(channelClose);
      const connection = await connect(pipeline.vhost.url);
      const channel = await connection.createChannel();
      await channel.deleteQueue('weigh.express');
      await connection.close();
      await lost;
      const arrives = async () => {
        await pipeline.send([crate('after')]);
        return weigh.ran.includes('after');
      };
      await until(arrives, { what: 'the queue is back and consumed again' });
    });

    it('closing a subscription comes to an end', async () => {
      pipeline = await cratePipeline({ weigh: idle }, { wire });
      const held: Delivery[] = [];
      const subscription = pipeline.broker.subscribe('weigh.express', (delivery) => held.push(delivery));
      subscription.consume(1);
      await pipeline.send([crate('a')]);
      await until(() => held.length === 1, { what: 'it consumes' });
      const lost = wire.cutBefore(channelClose);
      let closed = false;
      void subscription.close().then(() => {
        closed = true;
      });
      await lost;
      await until(() => closed, { what: 'it is closed' });
    });
  });

  describe('before RabbitMQ has said all', () => {
    it('a message that is taken for a probe: there is an error, and the next one is given', async () => {
      pipeline = await cratePipeline({ weigh: idle }, { wire });
      await pipeline.send([crate('a'.repeat(2_000_000))]);
      const lost = wire.cutAfter(messageGot, Buffer.alloc(0));
      await assert.rejects(pipeline.broker.get('weigh.express'), /RabbitMQ did not answer/);
      await lost;
      const again = async () => await pipeline.broker.get('weigh.express').catch(() => undefined);
      await until(again, { what: 'it is given after all' });
    });

    it('that it has closed the connection: closing the broker comes to an end', async () => {
      pipeline = await cratePipeline({ weigh: idle }, { wire });
      const lost = wire.cutBefore(method(10, 50));
      let closed = false;
      void pipeline.broker.close().then(() => {
        closed = true;
      });
      await lost;
      await until(() => closed, { what: 'it is closed' });
    });
  });

  describe('while a subscription changes its wish', () => {
    /** A subscription that is canceled, to a queue in which ten messages wait; the connection is lost. */
    const canceledAndLost = async () => {
      pipeline = await cratePipeline({ weigh: idle }, { wire });
      for (let at = 0; at < 10; at += 1) await pipeline.send([crate(`c${at}`)]);
      const deliveries: Delivery[] = [];
      const subscription = pipeline.broker.subscribe('weigh.express', (delivery) =>
        deliveries.push(delivery),
      );
      subscription.consume(1);
      await until(() => deliveries.length === 1, { what: 'it consumes' });
      await subscription.cancel();
      wire.cut();
      await until(() => deliveries.every((delivery) => !delivery.alive()), { what: 'the loss is known' });
      return { subscription, held: () => deliveries.filter((delivery) => delivery.alive()).length };
    };
    const back = async () => {
      wire.mend();
      await waiting(10);
    };
    const waiting = (messages: number) =>
      until(async () => (await pipeline.broker.depth('weigh.express')) === messages, {
        what: `${messages} messages wait in the queue`,
      });

    it('it gets the prefetch that it wished for meanwhile', async () => {
      const { subscription, held } = await canceledAndLost();
      subscription.consume(2);
      wire.mend();
      await until(() => held() >= 2, { what: 'it consumes again' });
      await waiting(8);
      assert.equal(held(), 2);
    });

    it('a wish that was taken back counts no more, neither as that prefetch nor as none', async () => {
      const { subscription, held } = await canceledAndLost();
      subscription.consume(5);
      await new Promise(setImmediate); // until it has begun to wait for a connection
      await subscription.cancel();
      await back();
      subscription.consume(3);
      await until(() => held() >= 3, { what: 'it consumes again' });
      await waiting(7);
      assert.equal(held(), 3);
    });
  });

  it('keeps nobody from draining, and loses nothing of what is under way', async () => {
    const gate = aGate();
    let begun = false;
    const weigh: CrateActor = {
      run: async (batch) => {
        begun = true;
        await gate.opened;
        return batch.map(() => forward);
      },
    };
    const bake = collecting();
    let looksInVain = 0;
    pipeline = await cratePipeline(
      { weigh, bake: bake.actor },
      {
        wire,
        wrap: (broker) => ({
          ...broker,
          depth: (queue) => {
            if (!broker.ready().ok) looksInVain += 1;
            return broker.depth(queue);
          },
        }),
      },
    );
    const ids = Array.from({ length: 10 }, (_, at) => `c${at}`);
    for (const id of ids) await pipeline.send([crate(id)]);
    pipeline.start();
    await until(() => begun, { what: 'a batch is under way' });
    wire.cut();
    await until(() => looksInVain > 0, { what: 'a queue is looked at' });
    gate.open();
    let drained = false;
    void pipeline
      .pipeline()
      ?.drain()
      .then(() => {
        drained = true;
      });
    await until(() => drained, { what: 'it is drained', timeoutMs: 5_000 });
    assert.equal(bake.ran.length, 0);
    wire.mend();
    pipeline.start();
    await until(() => ids.every((id) => bake.ran.includes(id)), { what: 'all ten crates are baked' });
  });
});
