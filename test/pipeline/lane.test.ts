import assert from 'node:assert/strict';
import { done } from '../../src/pipeline/actor.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { LaneLimits } from '../../src/pipeline/override.ts';
import { crate } from '../support/crates.ts';
import { aGate, type CrateActor, cratePipeline, stepOptions } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';

const lanes = { prefetch: 2, batch: { size: 2, waitMs: 1 }, consumers: { min: 1, max: 3 } };
const configured: LaneLimits = { min: 1, max: 3, from: undefined, pause: undefined };
const paused: LaneLimits = {
  ...configured,
  pause: { name: 'weigh', by: 'bori', note: 'why not', at: new Date() },
};

describe('a lane on RabbitMQ', () => {
  let pipeline: Awaited<ReturnType<typeof cratePipeline>>;
  afterEach(() => pipeline.close());

  /** An actor that works at each batch for so long, or until the gate is open. */
  const working = (ms: () => number | Promise<unknown>) => {
    const ran: string[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        const wait = ms();
        await (typeof wait === 'number' ? new Promise((resolve) => setTimeout(resolve, wait)) : wait);
        ran.push(...batch.map(({ item }) => item.id));
        return batch.map(() => done);
      },
    };
    return { actor, ran };
  };
  const aPipeline = async (
    actor: CrateActor,
    limitsOf?: (step: string, lane: string) => LaneLimits,
    own = lanes,
  ) => {
    pipeline = await cratePipeline(
      { weigh: actor },
      { steps: { weigh: stepOptions({}, own) }, ...(limitsOf && { limitsOf }) },
    );
  };
  const send = async (count: number, lane = 'bulk', from = 0) => {
    for (let at = from; at < from + count; at += 1) await pipeline.send([crate(`${lane}${at}`)], lane);
  };
  const consumers = (lane = 'bulk') => pipeline.pipeline()?.consumers()['weigh']?.[lane];
  const consumersSeen = async (lane = 'bulk') => (await pipeline.broker.inspect(`weigh.${lane}`)).consumers;
  const changes = () => pipeline.seen.consumers.filter(({ lane, why }) => lane === 'bulk' && why !== 'start');

  it('grows to its maximum under a steadily deep queue, shrinks one by one when it is idle, and tells why', async () => {
    const gate = aGate();
    const { actor } = working(() => gate.opened);
    await aPipeline(actor);
    await send(40);
    pipeline.start();
    await until(() => consumers() === 3, { what: 'it has grown to its maximum' });
    await until(async () => (await consumersSeen()) === 3, { what: 'RabbitMQ has three consumers' });
    gate.open();
    await until(() => consumers() === 1, { what: 'it has shrunk to its minimum' });
    await until(async () => (await consumersSeen()) === 1, { what: 'RabbitMQ has one consumer' });
    assert.deepEqual(changes(), [
      { lane: 'bulk', from: 1, to: 2, why: 'deep queue' },
      { lane: 'bulk', from: 2, to: 3, why: 'deep queue' },
      { lane: 'bulk', from: 3, to: 2, why: 'little load' },
      { lane: 'bulk', from: 2, to: 1, why: 'little load' },
    ]);
    assert.equal(consumers('express'), 1, 'the other lane stays as it was');
  });

  it('does not flap under a load that comes in waves', async () => {
    const { actor, ran } = working(() => 10);
    await aPipeline(actor);
    pipeline.start();
    // A wave lasts longer than growing takes, a pause longer than shrinking does at first: six looks, of 20 ms. The time
    // between the waves is what is tested; there is nothing to wait for in it.
    for (let wave = 1; wave <= 12; wave += 1) {
      await send(60);
      await until(() => ran.length === wave * 60, { what: `wave ${wave} is over` });
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    const downs = changes().filter(({ why }) => why === 'little load').length;
    assert(
      changes().some(({ why }) => why === 'deep queue'),
      'it has grown',
    );
    assert(downs <= 5, `${downs} times down in 12 waves: ${JSON.stringify(changes())}`);
  });

  it('keeps other limits at once, while it runs', async () => {
    const gate = aGate();
    const { actor } = working(() => gate.opened);
    await aPipeline(actor);
    pipeline.start();
    pipeline.pipeline()?.adjust('weigh', 'bulk', { ...configured, min: 5, max: 6 });
    await until(async () => (await consumersSeen()) === 5, { what: 'there are five consumers' });
    pipeline.pipeline()?.adjust('weigh', 'bulk', { ...configured, max: 2 });
    await until(async () => (await consumersSeen()) === 2, { what: 'there are two consumers' });
    assert.deepEqual(changes(), [
      { lane: 'bulk', from: 1, to: 5, why: 'limits' },
      { lane: 'bulk', from: 5, to: 2, why: 'limits' },
    ]);
    pipeline.pipeline()?.adjust('weigh', 'no such lane', paused);
    pipeline.pipeline()?.adjust('no such step', 'bulk', paused);
    gate.open();
  });

  it('that is paused while it holds more than is read on for hands it back, losing nothing', async () => {
    const maxPrefetchedBytes = 50_000;
    const weighed = new Set<string>();
    pipeline = await cratePipeline(
      {
        weigh: {
          run: async (batch) => {
            for (const { item } of batch) weighed.add(item.id);
            return batch.map(() => done);
          },
        },
      },
      {
        maxPrefetchedBytes,
        wrap: (broker) => ({
          ...broker,
          subscribe: (queue, onDelivery) => broker.subscribe(queue, onDelivery, { ofAnySize: true }),
        }),
        // What comes is gathered for long.
        steps: {
          weigh: stepOptions({ retryMs: 100 }, { prefetch: 200, batch: { size: 10_000, waitMs: 60_000 } }),
        },
      },
    );
    const crates = (from: number, to: number, name: string) =>
      Promise.all(
        Array.from({ length: to - from }, (_, at) => pipeline.send([crate(`c-${from + at}`)], 'bulk', name)),
      );
    await crates(0, 1, 'small'); // alone, since the prefetch begins with one
    pipeline.start();
    await until(() => weighed.size === 1, { what: 'one is weighed' });
    await crates(1, 100, 'small');
    const waiting = () => pipeline.broker.inspect('weigh.bulk');
    await until(async () => (await waiting()).messages === 0, { what: 'the small ones are held' });
    await crates(100, 160, 'x'.repeat(30_000));

    const [paused, before] = [performance.now(), pipeline.pipeline()];
    before?.adjust('weigh', 'bulk', {
      ...configured,
      pause: { name: 'weigh', by: 'bori', note: '', at: new Date() },
    });
    await until(async () => (await waiting()).messages === 160 - 1, { what: 'all wait with RabbitMQ again' });
    assert.ok(performance.now() - paused < 8_000);
    assert.equal(weighed.size, 1);
  });

  it('that is paused consumes nothing, hands back what is not begun, and goes on at once, losing nothing', async () => {
    const gate = aGate();
    let shut = false;
    const { actor, ran } = working(() => (shut ? gate.opened : 0));
    await aPipeline(actor, undefined, { ...lanes, prefetch: 4, batch: { size: 1, waitMs: 1 } });
    pipeline.start();
    await send(1);
    await until(() => ran.length === 1, { what: 'the consumer is wide' });
    shut = true;
    await send(20, 'bulk', 1);
    const waiting = () => pipeline.broker.depth('weigh.bulk');
    await until(async () => (await waiting()) <= 16, { what: 'it holds four messages, and has begun one' });
    pipeline.pipeline()?.adjust('weigh', 'bulk', paused);
    await until(() => pipeline.seen.paused.length === 1, { what: 'it was told to pause' });
    shut = false;
    gate.open();
    // RabbitMQ counts a canceled consumer as long as it holds a message.
    await until(async () => (await consumersSeen()) === 0, { what: 'nobody consumes the lane' });
    await until(async () => (await waiting()) + ran.length === 21, {
      what: 'all but what was begun are back in the queue',
    });
    assert(ran.length > 1 && ran.length <= 1 + 3, `${ran.length} were begun`);

    // Neither looks of the supervisor nor what settles elsewhere wake it.
    const settled = ran.length;
    await send(10, 'express');
    await until(() => ran.length === settled + 10, { what: 'the other lane goes on' });
    assert.deepEqual([await consumersSeen(), await waiting()], [0, 21 - settled]);
    assert.deepEqual(pipeline.seen.paused, [{ lane: 'bulk', by: 'bori' }]);

    pipeline.pipeline()?.adjust('weigh', 'bulk', configured);
    await until(() => new Set(ran).size === 31, { what: 'all have been weighed' });
    assert.equal(ran.length, 31, 'each once');
    assert.deepEqual(pipeline.seen.paused.at(-1), { lane: 'bulk', by: undefined });
    assert.equal(await pipeline.broker.get('weigh.failed'), undefined);
  });

  it('that is paused when the process starts is not consumed for a moment', async () => {
    const { actor, ran } = working(() => 0);
    await aPipeline(actor, (_, lane) => (lane === 'bulk' ? paused : configured));
    await send(5);
    pipeline.start();
    await send(5, 'express');
    await until(() => ran.length === 5, { what: 'the other lane has run' });
    assert.deepEqual([await consumersSeen(), await pipeline.broker.depth('weigh.bulk')], [0, 5]);
    assert(ran.every((id) => id.startsWith('express')));
  });

  it('that is paused stays so when the circuit closes, and takes no probe', async () => {
    let away = true;
    const ran: string[] = [];
    const actor: CrateActor = {
      run: async (batch) => {
        if (away) throw new InfrastructureError('away', { opensCircuit: true });
        ran.push(...batch.map(({ item }) => item.id));
        return batch.map(() => done);
      },
    };
    await aPipeline(actor);
    pipeline.start();
    await send(1, 'express');
    await until(() => pipeline.seen.circuit.length === 1, { what: 'the circuit has opened' });
    pipeline.pipeline()?.adjust('weigh', 'bulk', paused);
    await until(() => pipeline.seen.paused.length === 1, { what: 'it was told to pause' });
    await send(3, 'bulk');
    away = false;
    await until(() => pipeline.seen.circuit.at(-1)?.open === false, { what: 'the circuit has closed' });
    await until(() => ran.length === 1, { what: 'the other lane has run' });
    assert.deepEqual(ran, ['express0']);
    assert.deepEqual([await consumersSeen(), await pipeline.broker.depth('weigh.bulk')], [0, 3]);
  });
});
