import assert from 'node:assert/strict';
import type { Broker } from '../../src/pipeline/broker/broker.ts';
import { drainFailedQueues, type FailedMessage } from '../../src/pipeline/failed.ts';
import { typeOf } from '../../src/pipeline/message.ts';
import { exchanges, failedQueueOf } from '../../src/pipeline/topology.ts';
import { aGate, cratePipeline } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';

const step = 'weigh';
const kilobyte = 1_024;
const megabyte = 1_024 * kilobyte;

describe('draining a failed queue', () => {
  let world: Awaited<ReturnType<typeof cratePipeline>>;
  let arrived: number;
  let batches: string[][];
  let reader: ReturnType<typeof drainFailedQueues> | undefined;
  beforeEach(async () => {
    world = await cratePipeline({ weigh: { run: async () => [] } });
    arrived = 0;
    batches = [];
    reader = undefined;
  });
  afterEach(async () => {
    await reader?.drain();
    await world.close();
  });

  const fail = (messageId: string, bytes: number) =>
    world.broker.publish({
      exchange: exchanges.failed,
      routingKey: `${step}.bulk`,
      content: Buffer.alloc(bytes, '.'),
      type: typeOf(step),
      messageId,
      headers: {},
    });

  /** Drains in batches of so many, and does what `before` says before each is recorded. */
  const drain = (batchSize: number, before: (ids: readonly string[]) => Promise<unknown>) => {
    const broker: Broker = {
      ...world.broker,
      subscribe: (queue, onDelivery) =>
        world.broker.subscribe(queue, (delivery) => {
          arrived += 1;
          onDelivery(delivery);
        }),
    };
    const record = async (messages: readonly FailedMessage[]) => {
      const ids = messages.map(({ messageId }) => messageId);
      await before(ids);
      batches.push(ids);
    };
    reader = drainFailedQueues({
      broker,
      steps: [step],
      batchSize,
      retryMs: 10,
      record,
      log: { warn: () => undefined },
    });
  };
  const untilDrained = (messages: number) =>
    until(() => batches.flat().length === messages, { what: 'all are recorded' });

  it('ends a batch before it has 2 MB; what is larger than that is recorded alone', async () => {
    const gate = aGate();
    let held = false;
    drain(100, () => {
      held = true;
      return gate.opened;
    });
    await fail('first', 1);
    await until(() => held, { what: 'it is held at the gate' });
    const sizes: [id: string, bytes: number][] = [
      ['a', 900 * kilobyte],
      ['b', 900 * kilobyte],
      ['c', 900 * kilobyte],
      ['large', 3 * megabyte],
      ['d', 1],
      ['e', 1],
    ];
    for (const [id, bytes] of sizes) await fail(id, bytes);
    await until(() => arrived === 7, { what: 'all have arrived' });
    gate.open();
    await untilDrained(7);
    assert.deepEqual(batches, [['first'], ['a', 'b'], ['c'], ['large'], ['d', 'e']]);
  });

  it('records a full batch beside another one', async () => {
    const gate = aGate();
    let atOnce = 0;
    drain(2, async () => {
      atOnce += 1;
      await gate.opened;
    });
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await fail(id, 1);
    await until(() => arrived === 4, { what: 'as many have come as are taken at once' });
    await until(() => atOnce === 2, { what: 'two batches are being recorded' });
    gate.open();
    await untilDrained(6);
    assert.deepEqual(batches.flat(), ['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('takes as full what has 2 MB', async () => {
    const gate = aGate();
    let atOnce = 0;
    drain(100, async () => {
      atOnce += 1;
      await gate.opened;
    });
    for (const id of ['a', 'b', 'c', 'd']) await fail(id, 1.5 * megabyte);
    await until(() => atOnce === 2, { what: 'two batches are being recorded' });
    gate.open();
    await untilDrained(4);
  });

  it('tries again what could not be recorded', async () => {
    let tries = 0;
    drain(10, async () => {
      tries += 1;
      if (tries <= 3) throw new Error('Postgres is away');
    });
    await fail('a', 1);
    await untilDrained(1);
    assert.equal(tries, 4);
    await reader?.drain();
    assert.equal(await world.broker.depth(failedQueueOf(step)), 0);
  });

  it('leaves to RabbitMQ what could not be recorded when it is told to stop', async () => {
    drain(10, () => Promise.reject(new Error('Postgres is away')));
    await fail('a', 1);
    await until(() => arrived === 1, { what: 'it has come' });
    await reader?.drain();
    await until(async () => (await world.broker.depth(failedQueueOf(step))) === 1, { what: 'it is back' });
    assert.deepEqual(batches, []);
  });
});
