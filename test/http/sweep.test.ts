import assert from 'node:assert/strict';
import { startSweep, sweep } from '../../src/http/sweep.ts';
import { withLock } from '../../src/store/lock.ts';
import { until } from '../support/wait.ts';
import { type Api, aBody, aGate, post, quiet, startApi, type ToldPublisher, toldPublisher } from './api.ts';

describe('The sweep', () => {
  let api: Api;
  let publisher: ToldPublisher;
  before(async () => {
    api = await startApi();
  });
  after(() => api.close());
  beforeEach(async () => {
    await api.store.query('truncate intake, notices');
    api.path = 'actors';
    publisher = toldPublisher();
    // As if the process had died right after the commit, each time.
    api.publisher.before = () => {
      throw new Error('dead');
    };
  });

  async function leftBehind(orders: number): Promise<void> {
    const { status } = await post(
      api,
      aBody({ orderIds: Array.from({ length: orders }, (_, n) => `o-${n}`) }),
    );
    assert.equal(status, 202);
  }
  const options = () => ({ store: api.store, publisher, log: quiet, olderThanMs: 0 });
  const waiting = async () => (await api.store.query('select from intake where done_at is null')).length;

  it('publishes what was left behind, oldest first, page by page, and marks it', async () => {
    await leftBehind(2_600);
    await leftBehind(1);
    assert.equal(await waiting(), 7);
    assert.equal(await sweep({ ...options(), pageSize: 2 }), 7);
    assert.deepEqual(
      publisher.published.map(({ chunkNo, lane }) => [chunkNo, lane]),
      [...[0, 1, 2, 3, 4, 5].map((no) => [no, 'bulk']), [0, 'express']],
    );
    assert.equal(await waiting(), 0);
    assert.equal(await sweep(options()), 0);
  });

  it('goes on while much waits to be confirmed: what was accepted comes first', async () => {
    await leftBehind(1);
    publisher.full = 'RabbitMQ has yet to confirm 40,000,000 bytes';
    assert.equal(await sweep(options()), 1);
  });

  it('leaves young chunks to the process that accepted them', async () => {
    await leftBehind(1);
    assert.equal(await sweep({ ...options(), olderThanMs: 30_000 }), 0);
    await api.store.query(`update intake set created_at = now() - interval '31 seconds'`);
    assert.equal(await sweep({ ...options(), olderThanMs: 30_000 }), 1);
  });

  it('leaves chunks of the legacy path alone', async () => {
    api.path = 'legacy';
    await leftBehind(1);
    assert.equal(await sweep(options()), 0);
    assert.equal(await waiting(), 1);
  });

  it('passes over a chunk that cannot be published, and leaves it for the next time', async () => {
    await leftBehind(1_600);
    publisher.before = ({ chunkNo }) => {
      if (chunkNo === 1) throw new Error('unroutable');
    };
    assert.equal(await sweep({ ...options(), pageSize: 1 }), 3);
    assert.equal(await waiting(), 1);
    publisher.before = () => undefined;
    assert.equal(await sweep(options()), 1);
    assert.equal(await waiting(), 0);
  });

  it('does nothing while nothing can be published', async () => {
    await leftBehind(1);
    publisher.away = 'RabbitMQ is away';
    assert.equal(await sweep(options()), 0);
    assert.deepEqual(publisher.published, []);
  });

  it('does nothing while another process sweeps', async () => {
    await leftBehind(1);
    await withLock(api.store, 'intake sweep', async () => {
      assert.equal(await sweep(options()), 0);
    });
    assert.equal(await sweep(options()), 1);
  });

  it('starts at once, and goes on until it is stopped', async () => {
    await leftBehind(1);
    const sweeping = startSweep({ ...options(), intervalMs: 20 });
    try {
      await until(async () => (await waiting()) === 0, { what: 'the first sweep is done' });
      await leftBehind(1);
      await until(async () => (await waiting()) === 0, { what: 'a later sweep is done' });
    } finally {
      await sweeping.stop();
    }
  });

  it('goes on after a sweep that failed', async () => {
    let times = 0;
    publisher.ready = () => {
      if (++times === 1) throw new Error('broken');
      return { ok: true };
    };
    await leftBehind(1);
    const sweeping = startSweep({ ...options(), intervalMs: 20 });
    try {
      await until(async () => (await waiting()) === 0, { what: 'the second sweep is done' });
    } finally {
      await sweeping.stop();
    }
  });

  it('ends the page it is at when stopped', async () => {
    await leftBehind(1_600);
    const gate = aGate();
    publisher.before = () => gate.opened;
    const sweeping = startSweep({ ...options(), pageSize: 1 });
    await until(
      async () => (await api.store.query(`select from pg_locks where locktype = 'advisory'`)).length > 0,
      {
        what: 'the sweep has begun',
      },
    );
    const stopped = sweeping.stop();
    gate.open();
    await stopped;
    assert.ok(publisher.published.length <= 1);
    assert.ok((await waiting()) >= 3);
  });
});
