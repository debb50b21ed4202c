import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { pino } from 'pino';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { withLock } from '../../src/store/lock.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store, transaction } from '../../src/store/store.ts';
import { StaleRead } from '../../src/store/unavailable.ts';
import { allMigrations, migratedDatabase } from '../support/database.ts';
import { proxyTo } from '../support/proxy.ts';
import { freshDatabase } from '../support/servers.ts';
import { until } from '../support/wait.ts';

const quiet = pino({ level: 'silent' });

describe('the store', () => {
  let store: Store;
  let url: string;
  let drop: () => Promise<void>;
  const warnings: string[] = [];
  before(async () => {
    const log = pino({ level: 'warn' }, { write: (line: string) => warnings.push(line) });
    ({ store, url, drop } = await migratedDatabase({ log }));
  });
  after(() => drop());

  const killOthers = () =>
    store.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );

  it('gives a day as a day', async () => {
    const rows = await store.query("select date '2026-03-29' as day, null::date as none");
    assert.deepEqual(rows, [{ day: '2026-03-29', none: null }]);
  });

  it('rolls back whatever is thrown, and throws it on', async () => {
    const wrong = new Error('no');
    const thrown = transaction(store, async (tx) => {
      await tx.query("insert into sellers values ('s-rolled-back')");
      throw wrong;
    });
    await assert.rejects(thrown, (error) => error === wrong);
    assert.deepEqual(await store.query("select 1 from sellers where seller_id = 's-rolled-back'"), []);
  });

  it('runs a transaction again that lost to another one', async () => {
    let runs = 0;
    const result = await transaction(store, async () => {
      if (++runs < 3) throw new StaleRead('outdated');
      return 'done';
    });
    assert.equal(result, 'done');
    assert.equal(runs, 3);
  });

  it('commits with the last statement, and rolls back with it', async () => {
    const add = (last: string, found: number) =>
      transaction(store, async (tx, run) => {
        await tx.query(`insert into sellers values ('${last}-before')`);
        await tx.last(`with added as (insert into sellers values ('${last}')) select all_of($1, $2)`, [
          run === 1 ? found : 1,
          1,
        ]);
        return run;
      });
    assert.equal(await add('s-last', 1), 1);
    // Not as many rows as were read: all of it runs again.
    assert.equal(await add('s-last-again', 2), 2);
    await assert.rejects(
      transaction(store, async (tx) => {
        await tx.query("insert into sellers values ('s-never')");
        await tx.last("insert into sellers values ('s-last')");
      }),
      { code: '23505' },
    );
    assert.deepEqual(
      await store.query("select seller_id from sellers where seller_id ~ 's-(last|never)' order by 1"),
      ['s-last', 's-last-again', 's-last-again-before', 's-last-before'].map((id) => ({ seller_id: id })),
    );
  });

  it('gets over a deadlock', async () => {
    await store.query("insert into sellers values ('s-a'), ('s-b')");
    let both = 0;
    const lockIn = (order: string[]) =>
      transaction(store, async (tx) => {
        await tx.query('select 1 from sellers where seller_id = $1 for update', [order[0]]);
        both++;
        await until(() => both >= 2, { what: 'both hold their first row' });
        await tx.query('select 1 from sellers where seller_id = $1 for update', [order[1]]);
      });
    await Promise.all([lockIn(['s-a', 's-b']), lockIn(['s-b', 's-a'])]);
    assert.ok(both >= 3, 'one of the two had to run again');
  });

  it('says that a statement is wrong without blaming Postgres for it', () =>
    assert.rejects(store.query('select 1 from nowhere'), (error) => !(error instanceof InfrastructureError)));

  it('blames Postgres if the connection breaks in the middle of a transaction, and goes on with another', async () => {
    const thrown = transaction(store, async (tx) => {
      await tx.query('select 1');
      await killOthers();
      await tx.query('select 1');
    });
    await assert.rejects(thrown, InfrastructureError);
    assert.equal((await transaction(store, (tx) => tx.query('select 1'))).length, 1);
  });

  it('survives connections that break while idle, and logs them', async () => {
    await Promise.all([store.query('select pg_sleep(0.01)'), store.query('select pg_sleep(0.01)')]);
    warnings.length = 0;
    await killOthers();
    await until(() => warnings.length > 0, { what: 'the broken connection is logged' });
    assert.equal((await store.query('select 1')).length, 1);
  });

  const away: [string, () => Promise<{ url: string; end(): Promise<void> | void }>][] = [
    ['nobody listens', async () => ({ url: 'postgres://x@127.0.0.1:1/x', end: () => undefined })],
    ['the host is unknown', async () => ({ url: 'postgres://x@chodang.invalid/x', end: () => undefined })],
    ['nobody answers', silentServer],
    ['it speaks no TLS and we insist', async () => ({ url: `${url}?sslmode=require`, end: () => undefined })],
  ];
  for (const [when, start] of away)
    it(`blames Postgres when ${when}`, async () => {
      const server = await start();
      const other = openStore({ url: server.url, poolSize: 1, log: quiet, connectTimeoutMs: 200 });
      await assert.rejects(other.query('select 1'), InfrastructureError);
      await assert.rejects(
        transaction(other, (tx) => tx.query('select 1')),
        InfrastructureError,
      );
      await other.close();
      await server.end();
    });

  it('opens the circuit when the login is refused', async () => {
    const wrong = new URL(url);
    wrong.pathname = '/no_such_database';
    const other = openStore({ url: wrong.href, poolSize: 1, log: quiet });
    await assert.rejects(
      other.query('select 1'),
      (error) => error instanceof InfrastructureError && error.opensCircuit,
    );
    await other.close();
  });

  it('blames Postgres when the pool is exhausted, and when a statement takes too long', async () => {
    const other = openStore({ url, poolSize: 1, log: quiet, connectTimeoutMs: 100, statementTimeoutMs: 300 });
    const slow = other.query('select pg_sleep(20)');
    await assert.rejects(other.query('select 1'), InfrastructureError);
    await assert.rejects(slow, InfrastructureError);
    await other.close();
  });

  it('lets one at a time have a lock', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let entered = false;
    const first = withLock(store, 'a', async () => {
      entered = true;
      await held;
    });
    await until(() => entered, { what: 'the first has the lock' });
    assert.equal(await withLock(store, 'a', () => assert.fail('two have one lock')), false);
    assert.equal(await withLock(store, 'b', async () => undefined), true);
    release();
    assert.equal(await first, true);
    assert.equal(await withLock(store, 'a', async () => undefined), true);
  });

  it('tells the holder of a lock when he lost it', async () => {
    let lost = false;
    await withLock(store, 'a', async (signal) => {
      signal.addEventListener('abort', () => {
        lost = true;
      });
      await killOthers();
      await until(() => lost, { what: 'the holder is told' });
    });
  });

  it('lets the holder of a lock go on where Postgres has gone silent', async () => {
    const wire = await proxyTo(Number(new URL(url).port));
    const other = openStore({ url: wire.over(url), poolSize: 1, log: quiet });
    try {
      const from = performance.now();
      const holding = withLock(other, 'a', async () => {
        wire.silence();
        throw new Error('given up');
      });
      await assert.rejects(holding, /given up/);
      const took = performance.now() - from;
      assert(took < 5_000, `it took ${took} ms`);
    } finally {
      await wire.close();
      await other.close();
    }
  });
});

describe('migrating', () => {
  it('is safe when two processes start at once', async () => {
    const { url, drop } = await freshDatabase();
    const stores = [1, 2].map(() => openStore({ url, poolSize: 1, log: quiet }));
    const ran = await Promise.all(stores.map((store) => migrate(store)));
    assert.deepEqual(ran.flat(), allMigrations);
    await Promise.all(stores.map((store) => store.close()));
    await drop();
  });
});

/** A server that takes connections and never says a word. */
async function silentServer() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as { port: number };
  return {
    url: `postgres://x@127.0.0.1:${port}/x`,
    async end() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
