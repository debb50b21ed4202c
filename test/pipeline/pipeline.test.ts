import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { done, failed, forward, infrastructure, retriable } from '../../src/pipeline/actor.ts';
import type { LaneOptions } from '../../src/pipeline/consumer.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { headerNames } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { crate } from '../support/crates.ts';
import { aGate, type CrateActor, cratePipeline, stepOptions } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';

describe('a pipeline on RabbitMQ', () => {
  let pipeline: Awaited<ReturnType<typeof cratePipeline>>;
  afterEach(() => pipeline.close());

  /** An actor that notes each item it answers, with its attempt. */
  const noting = (
    answer: CrateActor['run'] extends (batch: infer Batch) => unknown
      ? (
          entry: Batch extends readonly (infer One)[] ? One : never,
        ) => Awaited<ReturnType<CrateActor['run']>>[number]
      : never,
  ) => {
    const ran: { id: string; attempt: number }[] = [];
    const sizes: number[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        sizes.push(batch.length);
        return batch.map((entry) => {
          ran.push({ id: entry.item.id, attempt: entry.attempt });
          return answer(entry);
        });
      },
    };
    return { actor, ran, sizes };
  };
  const crates = (count: number, from = 0) =>
    Array.from({ length: count }, (_, at) => crate(`c${from + at}`));
  const empty = async (...queues: string[]) => {
    for (const queue of queues) if ((await pipeline.broker.depth(queue)) > 0) return false;
    return true;
  };

  it('carries every item through all steps, each once', async () => {
    const weigh = noting(() => forward);
    const bake = noting(() => forward);
    const eat = noting(() => forward);
    pipeline = await cratePipeline({ weigh: weigh.actor, bake: bake.actor, eat: eat.actor });
    pipeline.start();
    for (let at = 0; at < 20; at += 1)
      await pipeline.send(crates(100, at * 100), at % 2 ? 'bulk' : 'express');
    await until(() => eat.ran.length === 2_000, { what: 'all 2,000 crates have been eaten' });
    assert.equal(new Set(eat.ran.map(({ id }) => id)).size, 2_000);
    assert(eat.ran.every(({ attempt }) => attempt === 1));
  });

  it('takes what waits in a queue as one batch, and packs what goes on into one message', async () => {
    const weigh = noting(() => forward);
    const bake = noting(() => done);
    const batch = { size: 39, waitMs: 60_000 };
    pipeline = await cratePipeline(
      { weigh: weigh.actor, bake: bake.actor },
      { steps: { weigh: stepOptions({}, { batch }), bake: stepOptions() } },
    );
    for (let at = 0; at < 40; at += 1) await pipeline.send([crate(`c${at}`)], 'express', `h${at}`);
    pipeline.start();
    await until(() => bake.ran.length === 40, { what: '40 single crates have been baked' });
    // The first message runs alone (a consumer starts narrow); the rest comes together.
    assert.deepEqual(weigh.sizes, [1, 39]);
    assert.deepEqual(bake.sizes, [1, 39]);
  });

  it('runs an item once that came twice in a batch', async () => {
    const weigh = noting(() => done);
    pipeline = await cratePipeline(
      { weigh: weigh.actor },
      { steps: { weigh: stepOptions({}, { batch: { size: 3, waitMs: 60_000 } }) } },
    );
    await pipeline.send([crate('first')]);
    await pipeline.send([crate('same'), crate('other')]);
    await pipeline.send([crate('same')]);
    pipeline.start();
    await until(() => empty('weigh.express'), { what: 'the queue is empty' });
    await until(() => weigh.ran.length >= 3, { what: 'three crates have been weighed' });
    assert.deepEqual(weigh.ran.map(({ id }) => id).toSorted(), ['first', 'other', 'same']);
  });

  it('retries only what failed, in its own lane, and fails it when its attempts are used up', async () => {
    const weigh = noting(({ item }) => (item.id === 'c3' ? retriable(new Error('too light')) : forward));
    const bake = noting(() => done);
    pipeline = await cratePipeline({ weigh: weigh.actor, bake: bake.actor });
    pipeline.start();
    await pipeline.send(crates(10), 'bulk');
    const failedMessage = await until(() => pipeline.broker.get('weigh.failed'), {
      what: 'a message has failed',
    });
    assert.deepEqual(
      weigh.ran.filter(({ id }) => id === 'c3').map(({ attempt }) => attempt),
      [1, 2, 3],
    );
    assert.equal(weigh.ran.length, 12, 'the nine others ran once');
    assert.equal(bake.ran.length, 9);
    assert.deepEqual(JSON.parse(failedMessage.content.toString()), {
      chunks: [{ header: { name: 'a' }, items: [{ id: 'c3' }] }],
    });
    assert.equal(failedMessage.routingKey, 'weigh.bulk');
    assert.equal(failedMessage.headers[headerNames.errorMessage], 'too light');
    assert.equal(failedMessage.headers[headerNames.errorClass], 'Error');
    assert.match(String(failedMessage.headers[headerNames.errorStack]), /pipeline\.test/);
    assert.equal(failedMessage.headers[headerNames.attempt], 3);
    assert.equal(failedMessage.headers[headerNames.step], 'weigh');
    assert(!Number.isNaN(Date.parse(String(failedMessage.headers[headerNames.failedAt]))));
    failedMessage.ack();
  });

  it("counts a message that fails as a whole by RabbitMQ's own x-death", async () => {
    const weigh = noting(() => retriable(new Error('no')));
    pipeline = await cratePipeline({ weigh: weigh.actor });
    pipeline.start();
    await pipeline.send(crates(2));
    const message = await until(() => pipeline.broker.get('weigh.failed'), {
      what: 'the message has failed',
    });
    assert.deepEqual(
      weigh.ran.map(({ attempt }) => attempt),
      [1, 1, 2, 2, 3, 3],
    );
    assert(
      !Object.keys(message.headers).some((name) => name.startsWith('x-death')),
      'no x-* of an earlier life',
    );
    message.ack();
  });

  it('halves a batch that throws: the culprit alone counts attempts', async () => {
    const ran: { ids: string[]; attempts: number[] }[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        if (batch.some(({ item }) => item.id === 'c123')) throw new Error('a rotten one');
        ran.push({ ids: batch.map(({ item }) => item.id), attempts: batch.map(({ attempt }) => attempt) });
        return batch.map(() => done);
      },
    };
    pipeline = await cratePipeline({ weigh: actor });
    pipeline.start();
    await pipeline.send(crates(500), 'bulk');
    const message = await until(() => pipeline.broker.get('weigh.failed'), {
      what: 'the culprit has failed',
    });
    assert.equal(message.headers[headerNames.attempt], 3);
    assert.equal(new Set(ran.flatMap(({ ids }) => ids)).size, 499);
    assert(ran.flatMap(({ attempts }) => attempts).every((attempt) => attempt === 1));
    message.ack();
  });

  it('fails at once what an actor says can never succeed', async () => {
    const weigh = noting(() => failed(new TypeError('not a crate')));
    pipeline = await cratePipeline({ weigh: weigh.actor });
    pipeline.start();
    await pipeline.send(crates(3));
    const message = await until(() => pipeline.broker.get('weigh.failed'), {
      what: 'the message has failed',
    });
    assert.equal(weigh.ran.length, 3);
    assert.equal(message.headers[headerNames.errorClass], 'TypeError');
    message.ack();
  });

  it('keeps fifty different errors of a batch apart, and packs what has others by their class', async () => {
    const weigh = noting(({ item }) => failed(new TypeError(`not a crate: ${item.id}`)));
    pipeline = await cratePipeline({ weigh: weigh.actor });
    pipeline.start();
    await pipeline.send(crates(300));
    const messages: { errorMessage: unknown; errorStack: unknown; ids: string[] }[] = [];
    await until(
      async () => {
        for (
          let one = await pipeline.broker.get('weigh.failed');
          one;
          one = await pipeline.broker.get('weigh.failed')
        ) {
          one.ack();
          assert.equal(one.headers[headerNames.errorClass], 'TypeError');
          const { chunks } = JSON.parse(one.content.toString()) as { chunks: { items: { id: string }[] }[] };
          messages.push({
            errorMessage: one.headers[headerNames.errorMessage],
            errorStack: one.headers[headerNames.errorStack],
            ids: chunks.flatMap(({ items }) => items.map(({ id }) => id)),
          });
        }
        return messages.flatMap(({ ids }) => ids).length === 300;
      },
      { what: 'all have failed' },
    );
    const several = messages.filter(({ ids }) => ids.length > 1);
    assert.deepEqual([messages.length, several.length], [51, 1]);
    const [first] = several[0]?.ids ?? [];
    assert.equal(several[0]?.errorMessage, `not a crate: ${first}`);
    assert.match(
      String(several[0]?.errorStack),
      /pipeline\.test\.ts.*\n.*the first of several errors of this class\)$/s,
    );
    for (const { ids, errorMessage } of messages.filter(({ ids }) => ids.length === 1))
      assert.equal(errorMessage, `not a crate: ${ids.join()}`);
  });

  for (const [what, content, type] of [
    ['bytes that are not JSON', Buffer.from([0xff, 0x00, 0x7b]), 'weigh.v1'],
    ['an unknown type', Buffer.from('{"chunks":[]}'), 'weigh.v9'],
  ] as const)
    it(`fails ${what} at once, byte for byte as they came`, async () => {
      const weigh = noting(() => done);
      pipeline = await cratePipeline({ weigh: weigh.actor });
      pipeline.start();
      await pipeline.broker.publish({
        exchange: exchanges.steps,
        routingKey: 'weigh.bulk',
        content,
        type,
        messageId: randomUUID(),
        headers: {},
      });
      await pipeline.send([crate('good')], 'bulk');
      const message = await until(() => pipeline.broker.get('weigh.failed'), {
        what: 'the message has failed',
      });
      assert.deepEqual(message.content, content);
      assert.equal(message.type, type);
      assert.equal(message.headers[headerNames.errorClass], 'MalformedError');
      await until(() => weigh.ran.length === 1, { what: 'the good crate after it has been weighed' });
      message.ack();
    });

  it('never counts an infrastructure error as an attempt, opens the circuit, and probes until it closes', async () => {
    let away = true;
    const weigh = noting(() => (away ? infrastructure(new InfrastructureError('scales away')) : done));
    pipeline = await cratePipeline(
      { weigh: weigh.actor },
      { steps: { weigh: stepOptions({ maxAttempts: 2 }) } },
    );
    pipeline.start();
    for (let at = 0; at < 10; at += 1) await pipeline.send(crates(5, at * 5));
    await until(() => pipeline.seen.circuit.length === 1, { what: 'the circuit has opened' });
    // Far more tries than maxAttempts, by probes alone:
    const tries = weigh.sizes.length;
    await until(() => weigh.sizes.length >= tries + 4, { what: 'four probes have failed' });
    away = false;
    const settled = () =>
      new Set(weigh.ran.filter(({ attempt }) => attempt === 1).map(({ id }) => id)).size === 50;
    await until(() => pipeline.seen.circuit.at(-1)?.open === false, { what: 'the circuit has closed' });
    await until(settled, { what: 'all 50 crates have been weighed' });
    await until(() => empty('weigh.express', 'weigh.retriable'), { what: 'the queues are empty' });
    assert(
      weigh.ran.every(({ attempt }) => attempt === 1),
      'no attempt was burnt',
    );
    assert.equal(await pipeline.broker.get('weigh.failed'), undefined);
  });

  it('lets an item wait without opening the circuit where the server is well', async () => {
    const elsewhere = new InfrastructureError('somebody else weighs it', { countsForCircuit: false });
    const weigh = noting(({ item }) =>
      item.id === 'c0' && weigh.ran.length < 40 ? infrastructure(elsewhere) : done,
    );
    pipeline = await cratePipeline({ weigh: weigh.actor });
    pipeline.start();
    for (let at = 0; at < 10; at += 1)
      await pipeline.send([crate('c0'), crate(`d${at}`)], 'express', `h${at}`);
    await until(() => weigh.ran.length >= 40, { what: 'the waiting crate has come back again and again' });
    await until(() => empty('weigh.express', 'weigh.retriable'), { what: 'all is weighed' });
    assert.deepEqual(pipeline.seen.circuit, []);
    assert(weigh.ran.every(({ attempt }) => attempt === 1));
  });

  it('lets the living copy of a message run where a dead one was gathered before it', async () => {
    const weigh = noting(() => done);
    pipeline = await cratePipeline(
      { weigh: weigh.actor },
      {
        // As after a lost channel: the first copy can't be settled any more, and the same message comes again.
        wrap: (broker) => ({
          ...broker,
          subscribe: (queue, onDelivery) =>
            broker.subscribe(queue, (delivery) => {
              let checks = 0;
              onDelivery({
                ...delivery,
                alive: () => checks++ === 0,
                ack: () => assert.fail('acked a dead copy'),
              });
              onDelivery(delivery);
            }),
        }),
      },
    );
    pipeline.start();
    await pipeline.send([crate('c0')]);
    await until(() => empty('weigh.express'), { what: 'the queue is empty' });
    await until(() => weigh.ran.length === 1, { what: 'the living copy ran' });
  });

  it('keeps the type of a message that it hands back', async () => {
    let away = true;
    const weigh = noting(() =>
      away ? infrastructure(new InfrastructureError('away', { opensCircuit: true })) : done,
    );
    pipeline = await cratePipeline({ weigh: weigh.actor });
    pipeline.start();
    await pipeline.send(crates(1));
    await until(() => pipeline.seen.circuit.length === 1, { what: 'the circuit has opened' });
    await pipeline.broker.publish({
      exchange: exchanges.steps,
      routingKey: 'weigh.express',
      content: Buffer.from('{"chunks":[{"header":{"name":"x"},"items":[{"id":"of v2"}]}]}'),
      type: 'weigh.v2',
      messageId: randomUUID(),
      headers: {},
    });
    away = false;
    const message = await until(() => pipeline.broker.get('weigh.failed'), {
      what: 'the unknown type has failed',
    });
    assert.equal(message.type, 'weigh.v2');
    assert(!weigh.ran.some(({ id }) => id === 'of v2'));
    message.ack();
  });

  it('probes two steps at once without leaving a delivery behind', async () => {
    let away = true;
    const moody = () =>
      noting(() =>
        away ? infrastructure(new InfrastructureError('away', { opensCircuit: true })) : forward,
      );
    const [weigh, bake] = [moody(), moody()];
    pipeline = await cratePipeline({ weigh: weigh.actor, bake: bake.actor });
    pipeline.start();
    await pipeline.send(crates(3));
    await pipeline.broker.publish({
      exchange: exchanges.steps,
      routingKey: 'bake.express',
      content: Buffer.from('{"chunks":[{"header":{"name":"b"},"items":[{"id":"b0"}]}]}'),
      type: 'bake.v1',
      messageId: randomUUID(),
      headers: {},
    });
    await until(() => pipeline.seen.circuit.length === 2, { what: 'both circuits have opened' });
    const tries = weigh.sizes.length + bake.sizes.length;
    await until(() => weigh.sizes.length + bake.sizes.length >= tries + 6, { what: 'both have probed' });
    away = false;
    const ranBefore = bake.ran.length;
    const baked = new Set<string>();
    const all = () => {
      for (const { id } of bake.ran.slice(ranBefore)) baked.add(id);
      return ['c0', 'c1', 'c2', 'b0'].every((id) => baked.has(id));
    };
    await until(all, { what: 'every crate has been baked' });
  });

  it('holds no more than its prefetch, however long a batch takes', async () => {
    const gate = aGate();
    let held = 0;
    const actor: CrateActor = {
      run: async (batch) => {
        await gate.opened;
        return batch.map(() => done);
      },
    };
    const lanes = { prefetch: 5, batch: { size: 5, waitMs: 1 } };
    pipeline = await cratePipeline(
      { weigh: actor },
      {
        steps: { weigh: stepOptions({}, lanes) },
        wrap: (broker) => ({
          ...broker,
          subscribe: (queue, onDelivery) =>
            broker.subscribe(queue, (delivery) => {
              held += 1;
              onDelivery({
                ...delivery,
                alive: () => delivery.alive(),
                ack: () => {
                  held -= 1;
                  delivery.ack();
                },
              });
            }),
        }),
      },
    );
    for (let at = 0; at < 100; at += 1) await pipeline.send([crate(`c${at}`)]);
    pipeline.start();
    await until(() => held > 0, { what: 'the batch has begun' });
    const before = pipeline.seen.batches.length;
    await new Promise((resolve) => setTimeout(resolve, 20 * 40)); // forty looks of the supervisor
    assert(held <= 5, `held ${held} messages`);
    assert.equal(pipeline.seen.batches.length, before);
    gate.open();
    await until(() => empty('weigh.express'), { what: 'all are weighed' });
  });

  /** A step whose first batch is over, and whose next waits at a gate while `messages` more come. */
  const gathering = async (batch: LaneOptions['batch'], messages: number, beside?: 'express') => {
    let gate = aGate();
    gate.open();
    let begun = 0;
    const actor: CrateActor = {
      run: async (entries) => {
        begun += 1;
        await gate.opened;
        return entries.map(() => done);
      },
    };
    pipeline = await cratePipeline(
      { weigh: actor },
      { steps: { weigh: stepOptions({}, { prefetch: 50, batch }) } },
    );
    pipeline.start();
    await pipeline.send([crate('first')], 'bulk');
    await until(() => pipeline.seen.batches.length === 1, { what: 'the first is weighed' });
    gate = aGate();
    await pipeline.send([crate('held')], 'bulk');
    await until(() => begun === 2, { what: 'the next waits at the gate' });
    for (let at = 0; at < messages; at += 1) await pipeline.send(crates(5, at * 5), 'bulk');
    await until(() => empty('weigh.bulk'), { what: 'all are delivered' });
    if (beside) await pipeline.send([crate('beside')], beside);
    if (beside) await until(() => empty(`weigh.${beside}`), { what: 'that is delivered, too' });
    gate.open();
    await until(() => pipeline.seen.batches.reduce((sum, { items }) => sum + items, 0) >= 2 + messages * 5, {
      what: 'all are weighed',
    });
    return pipeline.seen.batches.filter(({ lane }) => lane === 'bulk').map(({ items }) => items);
  };

  it('runs what came while a batch ran as the next one, where a batch waits for nobody', async () => {
    assert.deepEqual(await gathering({ size: 1_000, waitMs: 0 }, 20), [1, 1, 100]);
  });

  it('runs shorter batches while messages come in another lane', async () => {
    const batch = { size: 50, sizeBeside: 10, waitMs: 5 };
    assert.deepEqual(await gathering(batch, 20), [1, 1, 50, 50]);
    await pipeline.close();
    assert.deepEqual(await gathering(batch, 4, 'express'), [1, 1, 10, 10]);
  });

  it('treats a thrown infrastructure error like an answered one', async () => {
    let tries = 0;
    const attempts: number[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        tries += 1;
        if (tries < 3) throw new InfrastructureError('away');
        attempts.push(...batch.map(({ attempt }) => attempt));
        return batch.map(() => done);
      },
    };
    pipeline = await cratePipeline({ weigh: actor });
    pipeline.start();
    await pipeline.send(crates(4));
    await until(() => attempts.length === 4, { what: 'the crates have been weighed' });
    assert.deepEqual(attempts, [1, 1, 1, 1]);
  });

  it('grows consumers while a queue stays deep, and shrinks them when it is idle', async () => {
    const gate = aGate();
    const actor: CrateActor = {
      run: async (batch) => {
        await gate.opened;
        return batch.map(() => done);
      },
    };
    const lanes = { prefetch: 1, batch: { size: 1, waitMs: 1 }, consumers: { min: 1, max: 3 } };
    pipeline = await cratePipeline({ weigh: actor }, { steps: { weigh: stepOptions({}, lanes) } });
    for (let at = 0; at < 30; at += 1) await pipeline.send([crate(`c${at}`)], 'bulk');
    pipeline.start();
    await until(() => pipeline.pipeline()?.consumers().weigh?.bulk === 3, {
      what: 'the lane has three consumers',
    });
    assert.equal(pipeline.pipeline()?.consumers().weigh?.express, 1);
    gate.open();
    await until(() => pipeline.pipeline()?.consumers().weigh?.bulk === 1, {
      what: 'the lane is back to one',
    });
  });

  it('drains: settles what it holds and leaves the rest in the queue, losing nothing', async () => {
    const weigh = noting(() => forward);
    const bake = noting(() => done);
    const lanes = { prefetch: 2, batch: { size: 10, waitMs: 1 } };
    pipeline = await cratePipeline(
      { weigh: weigh.actor, bake: bake.actor },
      { steps: { weigh: stepOptions({}, lanes), bake: stepOptions({}, lanes) } },
    );
    for (let at = 0; at < 100; at += 1) await pipeline.send(crates(10, at * 10));
    pipeline.start();
    await until(() => weigh.ran.length > 0, { what: 'it has begun' });
    await pipeline.pipeline()?.drain();
    const begun = weigh.ran.length;
    pipeline.start();
    await until(() => bake.ran.length >= 1_000, { what: 'all crates have been baked by the next run' });
    assert.equal(bake.ran.length, 1_000);
    assert(begun <= 1_000);
    assert.equal(weigh.ran.length, 1_000, 'draining settled what it held, so nothing ran twice');
  });

  it('takes nothing more once it drains, though its first batch ends only then', async () => {
    const gate = aGate();
    let begun = false;
    const weigh: CrateActor = {
      run: async (batch) => {
        begun = true;
        await gate.opened;
        return batch.map(() => done);
      },
    };
    let canceled = false;
    pipeline = await cratePipeline(
      { weigh },
      {
        wrap: (broker) => ({
          ...broker,
          subscribe: (queue, onDelivery) => {
            const subscription = broker.subscribe(queue, onDelivery);
            return {
              consume: (prefetch) => subscription.consume(prefetch),
              async cancel() {
                await subscription.cancel();
                if (queue === 'weigh.express') canceled = true;
              },
              close: () => subscription.close(),
            };
          },
        }),
      },
    );
    for (let at = 0; at < 3; at += 1) await pipeline.send([crate(`c${at}`)]);
    pipeline.start();
    await until(() => begun, { what: 'the first batch is under way' });
    const drained = pipeline.pipeline()?.drain();
    await until(() => canceled, { what: 'nothing is consumed any more' });
    gate.open();
    await drained;
    const left = [await pipeline.broker.get('weigh.express'), await pipeline.broker.get('weigh.express')];
    pipeline.start();
    assert.deepEqual(
      left.map((delivery) => delivery?.deliveryCount),
      [0, 0],
      'nothing was taken that was given back',
    );
  });

  it('restarts a consuming actor that crashes, alone, and loses nothing', async () => {
    const weigh = noting(() => done);
    let crashes = 0;
    pipeline = await cratePipeline(
      { weigh: weigh.actor },
      {
        wrap: (broker) => ({
          ...broker,
          subscribe: (queue, onDelivery) =>
            broker.subscribe(queue, (delivery) =>
              onDelivery({
                ...delivery,
                alive: () => delivery.alive(),
                ack: () => {
                  if (crashes++ === 0) throw new Error('a bug of ours');
                  delivery.ack();
                },
              }),
            ),
        }),
      },
    );
    pipeline.start();
    for (let at = 0; at < 5; at += 1) await pipeline.send([crate(`c${at}`)]);
    await until(() => new Set(weigh.ran.map(({ id }) => id)).size === 5, {
      what: 'all five have been weighed',
    });
    await until(() => empty('weigh.express'), { what: 'the queue is empty' });
    assert.deepEqual(
      pipeline.seen.crashed.map(({ message }) => message),
      ['a bug of ours'],
    );
  });
});
