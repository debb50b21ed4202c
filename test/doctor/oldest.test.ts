import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import { goingBack, type Moment, momentsOf, notEmptyFor, waitedAtLeast } from '../../src/doctor/oldest.ts';
import { oldestFinding, oldestRetriableFinding } from '../../src/doctor/waiting.ts';
import { freshVhost } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { declare, found, onChannel, theCheck } from './patient.ts';

/** Moments ten seconds apart, the last one now: messages, of which held, and deliveries so far. */
const moments = (...each: [messages: number, held: number, delivered: number][]): Moment[] =>
  each.map(([messages, held, delivered], at) => ({ at: at * 10_000, messages, held, delivered }));

describe('the oldest message, reckoned from samples', () => {
  it('has waited since the queue was last empty, if nothing was delivered', () => {
    assert.equal(waitedAtLeast(moments([0, 0, 7], [3, 0, 7], [5, 0, 7], [5, 0, 7])), 20_000);
  });

  it('has waited since there were more messages than were delivered after that', () => {
    assert.equal(waitedAtLeast(moments([100, 0, 0], [80, 0, 20], [60, 0, 40], [40, 0, 60])), 30_000);
    assert.equal(waitedAtLeast(moments([10, 0, 0], [10, 0, 10], [30, 0, 15], [30, 0, 25])), 10_000);
  });

  it('is not told where messages come and go', () => {
    assert.equal(waitedAtLeast(moments([5, 0, 0], [5, 0, 100], [5, 0, 200])), 0);
  });

  it('counts what consumers hold: they may hand it back, or never settle it', () => {
    assert.equal(waitedAtLeast(moments([4, 4, 4], [4, 4, 4], [4, 4, 4])), 20_000);
    assert.equal(waitedAtLeast(moments([4, 4, 4], [4, 0, 4], [4, 0, 4])), 10_000);
  });

  it('knows nothing of an empty queue, or without samples', () => {
    assert.equal(waitedAtLeast(moments([3, 0, 0], [0, 0, 3])), undefined);
    assert.equal(waitedAtLeast([]), undefined);
  });

  it('is none of those that somebody purged', () => {
    assert.equal(waitedAtLeast(moments([9, 0, 0], [0, 0, 0], [9, 0, 0], [9, 0, 0])), 10_000);
  });

  it('says for how long a queue has not been seen empty', () => {
    assert.equal(notEmptyFor(moments([0, 0, 0], [1, 0, 0], [2, 0, 9], [1, 0, 30])), 20_000);
    assert.equal(notEmptyFor(moments([1, 0, 0], [1, 0, 0])), 10_000);
    assert.equal(notEmptyFor(moments([1, 0, 0], [0, 0, 0])), 0);
    assert.equal(notEmptyFor([]), 0);
  });

  it('goes back beyond fine samples with coarse ones, and never takes one of those for now', () => {
    const [fine, coarse] = [moments([3, 0, 9], [3, 0, 9]), moments([5, 0, 1], [5, 0, 1], [5, 0, 1])];
    const later = fine.map((moment) => ({ ...moment, at: moment.at + 15_000 }));
    assert.deepEqual(goingBack(later, coarse), [coarse[0], coarse[1], ...later]);
    assert.deepEqual(goingBack([], coarse), []);
  });

  it('puts samples together where all series have one, whatever their order', () => {
    const series = (...samples: [number, number][]) => ({
      samples: samples.map(([timestamp, sample]) => ({ timestamp, sample })),
    });
    const samples = {
      messages: series([30, 3], [20, 2], [10, 1]),
      held: series([30, 0], [20, 0], [10, 0]),
      delivered: series([20, 9], [10, 8], [0, 7]),
    };
    assert.deepEqual(momentsOf(samples), [
      { at: 10, messages: 1, held: 0, delivered: 8 },
      { at: 20, messages: 2, held: 0, delivered: 9 },
    ]);
    assert.equal(momentsOf({ ...samples, delivered: undefined }).length, 3);
    assert.deepEqual(momentsOf({ messages: undefined, held: null, delivered: {} }), []);
  });
});

describe('the doctor on what waits', function () {
  this.timeout(90_000);
  const vhost = { vhost: encodeURIComponent('/') };
  const lane = { warnMs: 60_000, wrongMs: 600_000 };
  const stuckFor = (minutes: number) =>
    moments(...Array.from({ length: minutes * 6 + 1 }, (): [number, number, number] => [3, 0, 0]));
  const queue = (parts: object = {}) => ({ name: 'tms.bulk', messages: 3, ...parts });

  it('warns after a minute in a lane, and finds it wrong after ten; in a failed queue after one', () => {
    for (const [minutes, limits, status] of [
      [1, lane, 'ok'],
      [2, lane, 'warn'],
      [11, lane, 'wrong'],
      [2, { warnMs: 60_000, wrongMs: 60_000 }, 'wrong'],
    ] as const) {
      const finding = oldestFinding({ queue: queue(), moments: stuckFor(minutes) }, vhost, limits);
      assert.equal(finding?.status, status);
      assert.match(
        finding.found,
        new RegExp(`^3 messages, the oldest there for at least ${minutes} min \\(reckoned`),
      );
    }
  });

  it('says how to look at the message without taking it', () => {
    const finding = oldestFinding({ queue: queue(), moments: stuckFor(2) }, vhost, lane);
    assert(finding?.status === 'warn');
    assert.match(finding.remedy, /rabbitmq-queues peek --vhost \/ tms\.bulk 1/);
  });

  it('takes the time from RabbitMQ where that tells it', () => {
    const published = Math.floor(Date.now() / 1_000) - 120;
    const finding = oldestFinding(
      { queue: queue({ head_message_timestamp: published }), moments: [] },
      vhost,
      lane,
    );
    assert.equal(finding?.status, 'warn');
    assert.match(finding.found, /^published 2 min( 1 s)? ago \(of 3\)$/);
  });

  it('says that it can not be told where there is neither', () => {
    const finding = oldestFinding({ queue: queue({ head_message_timestamp: '' }), moments: [] }, vhost, lane);
    assert.equal(finding?.status, 'warn');
    assert.match(finding.found, /how old is not told by this RabbitMQ/);
  });

  it('lets messages come and go in a retriable queue, and warns of dead letters that do not get away', () => {
    const busy = { queue: queue({ messages_dlx: 0 }), moments: stuckFor(10) };
    assert.equal(oldestRetriableFinding(busy, 5_000)?.status, 'ok');
    const stuck = { queue: queue({ messages_dlx: 2 }), moments: stuckFor(10) };
    const finding = oldestRetriableFinding(stuck, 5_000);
    assert.equal(finding?.status, 'warn');
    assert.match(finding.found, /^2 messages of 3 waited 5 s and did not get back/);
    assert.equal(
      oldestRetriableFinding({ ...stuck, moments: moments([0, 0, 0], [3, 0, 0]) }, 5_000)?.status,
      'ok',
    );
  });

  it('finds what really waits: in a lane, and as a dead letter whose lane is gone', async () => {
    const place = await freshVhost();
    const settings = loadConfig({ env: {} });
    Object.assign(settings.rabbitmq, { url: place.url, managementUrl: place.managementUrl });
    settings.steps['delay']!.retryMs = 200;
    await declare(settings);
    const begun = Date.now();
    await onChannel(place.url, async (channel) => {
      channel.publish('chodang.steps', 'tms.bulk', Buffer.from('{}'), { persistent: true });
      await channel.deleteQueue('delay.express');
      channel.publish('chodang.retriable', 'delay.express', Buffer.from('{}'), { persistent: true });
      await channel.waitForConfirms();
    });
    await until(
      async () => {
        const checks = await found(settings, 'rabbitmq');
        const waiting = theCheck(checks, 'oldest message of tms.bulk');
        const [, seconds] = /^1 message, the oldest there for at least (\d+) s/.exec(waiting.found) ?? [];
        assert(Number(seconds) >= 10, waiting.found);
        assert(
          Number(seconds) * 1_000 <= Date.now() - begun,
          `${waiting.found}: that is more than it can be`,
        );
        const dead = theCheck(checks, 'oldest message of delay.retriable');
        assert.equal(dead.status, 'warn', dead.found);
        assert.match(dead.found, /^1 message of 1 waited 200 ms and did not get back to the lane yet/);
        return true;
      },
      { what: 'it is told that they wait', timeoutMs: 60_000 },
    );
    await place.drop();
  });
});
