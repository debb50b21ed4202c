import assert from 'node:assert/strict';
import { DrainWatch, startQueueMonitor } from '../../src/alerts/queues.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { cratePipeline } from '../support/pipeline.ts';
import { until } from '../support/wait.ts';
import { aWhile, quiet } from './receiver.ts';

describe('A failed queue that nobody drains', () => {
  describe('is told by its size, look after look', () => {
    let watch: DrainWatch;
    let now: number;
    beforeEach(() => {
      watch = new DrainWatch();
      now = 0;
    });
    const undrainedMs = (messages: number, consumers: number) => {
      now += 1_000;
      return watch.look('tms.failed', { messages, consumers }, now)?.undrainedMs;
    };

    it('if nobody consumes it, also where its messages grow fewer', () => {
      assert.deepEqual(
        [undrainedMs(5, 0), undrainedMs(5, 0), undrainedMs(3, 0), undrainedMs(9, 0)],
        [0, 1_000, 2_000, 3_000],
      );
    });

    it('if somebody consumes it, and its messages never grow fewer', () => {
      assert.deepEqual([undrainedMs(5, 1), undrainedMs(5, 1), undrainedMs(9, 1)], [0, 1_000, 2_000]);
    });

    it('but not if somebody drains it, however slowly', () => {
      assert.deepEqual([undrainedMs(5, 1), undrainedMs(4, 1), undrainedMs(3, 1)], [0, 0, 0]);
    });

    it('and anew once it was empty, or could not be seen', () => {
      undrainedMs(5, 0);
      assert.deepEqual([undrainedMs(0, 0), undrainedMs(5, 0), undrainedMs(5, 0)], [undefined, 0, 1_000]);
      watch.forget('tms.failed');
      assert.equal(undrainedMs(5, 0), 0);
    });

    it('and remembers since when messages wait, also where it is drained', () => {
      undrainedMs(5, 1);
      undrainedMs(4, 1);
      now += 1_000;
      assert.deepEqual(watch.look('tms.failed', { messages: 4, consumers: 1 }, now), {
        waitingMs: 2_000,
        undrainedMs: 1_000,
      });
    });
  });

  describe('of a real RabbitMQ', () => {
    let store: Store;
    let drop: () => Promise<void>;
    let pipeline: Awaited<ReturnType<typeof cratePipeline>>;
    let monitors: { stop(): Promise<void> }[];
    before(async () => {
      ({ store, drop } = await migratedDatabase());
      // Declares the queues; no step is started.
      pipeline = await cratePipeline({ weigh: { run: async () => [] }, tms: { run: async () => [] } });
    });
    after(async () => {
      await pipeline.close();
      await drop();
    });
    beforeEach(async () => {
      await emptyTables(store);
      monitors = [];
    });
    afterEach(async () => {
      await Promise.all(monitors.map((each) => each.stop()));
      while ((await pipeline.broker.inspect('tms.failed')).messages > 0) await takeOne();
    });

    const start = (options: object = {}) => {
      const monitor = startQueueMonitor({
        store,
        broker: pipeline.broker,
        steps: ['weigh', 'tms'],
        checkMs: 10,
        undrainedMs: 100,
        againMs: 0,
        log: quiet,
        ...options,
      });
      monitors.push(monitor);
      return monitor;
    };
    const fail = () =>
      pipeline.broker.publish({
        exchange: exchanges.failed,
        routingKey: 'tms.express',
        content: Buffer.from('{}'),
        type: 'tms.v1',
        messageId: 'm-1',
        headers: {},
      });
    const takeOne = async () => (await pipeline.broker.get('tms.failed'))?.ack();
    const raised = () =>
      store.query<{ kind: string; subject: string; detail: Record<string, unknown> }>(
        'select kind, subject, detail from alerts order by alert_id',
      );
    const raisedTimes = (times: number) =>
      until(async () => (await raised()).length === times, { what: `${times} alerts are raised` });

    it('is alerted to once, by however many processes, until it was empty', async () => {
      start();
      start();
      await fail();
      await fail();
      await raisedTimes(1);
      await aWhile();
      const [alert, ...others] = await raised();
      assert.deepEqual([alert?.kind, alert?.subject, others], ['queue undrained', 'queue tms.failed', []]);
      assert.deepEqual(alert?.detail, { queue: 'tms.failed', messages: 2, consumers: 0, seconds: 0 });
      await takeOne();
      await aWhile();
      assert.equal((await raised()).length, 1, 'one message less is not empty');

      await takeOne();
      await until(async () => (await pipeline.broker.depth('tms.failed')) === 0, { what: 'it is empty' });
      await aWhile(100);
      await fail();
      await raisedTimes(2);
    });

    it('is alerted to where somebody consumes it and holds all', async () => {
      start();
      const held = pipeline.broker.subscribe('tms.failed', () => undefined);
      held.consume(1);
      await fail();
      await fail();
      await raisedTimes(1);
      assert.equal((await raised())[0]?.detail['consumers'], 1);
      await held.close();
    });

    it('is no cause for an alert while it is empty, or is filled and emptied', async () => {
      start({ undrainedMs: 2_000 });
      await fail();
      await aWhile(100);
      await takeOne();
      await aWhile();
      assert.deepEqual(await raised(), []);
    });

    it('is alerted to again only after a while, though it was empty in between', async () => {
      start({ againMs: 3_600_000 });
      await fail();
      await raisedTimes(1);
      await takeOne();
      await aWhile(100);
      await fail();
      await aWhile(400);
      assert.equal((await raised()).length, 1);
      await store.query(`update alerts set at = at - interval '1 hour'`);
      await raisedTimes(2);
    });

    it('is found though another queue is gone', async () => {
      start({ steps: ['nowhere', 'tms'] });
      await fail();
      await raisedTimes(1);
    });
  });
});
