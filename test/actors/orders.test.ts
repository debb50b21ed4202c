import assert from 'node:assert/strict';
import orders from '../../src/actors/orders.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { MalformedEvent, type OrderEvent } from '../../src/rules/orderEvent.ts';
import { areTaken } from '../../src/store/orderEvents.ts';
import { openStore, type Store, transaction } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase, storeOrders } from '../support/database.ts';
import { readFed } from '../support/feed.ts';
import { aNoticeId, aToday } from '../support/makers.ts';
import { anUpserted, aStatusChange } from '../support/orderEvents.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/wait.ts';

describe('the orders actor', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => {
    ({ store, drop } = await migratedDatabase());
  });
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const run = async (...items: (OrderEvent | MalformedEvent)[]) => {
    const batch = items.map((item) => ({ header: {}, item, attempt: 1, redelivered: false }));
    return (await orders({ store }).run(batch)).map((answer) =>
      'error' in answer ? `${answer.kind} ${answer.error.name}` : answer.kind,
    );
  };
  const theOrder = async () => {
    const all = await readFed(store);
    assert.equal(all.length, 1);
    return all[0] ?? assert.fail();
  };
  const brief = async () => {
    const { status, product, statusVersion, upsertVersion } = await theOrder();
    return [status, product, statusVersion, upsertVersion];
  };

  it('adds an order that is new, with all that the event says', async () => {
    assert.deepEqual(await run(anUpserted({ version: 7, phone: '', locale: 'en' })), ['done']);
    const { row: _, ...order } = await theOrder();
    assert.deepEqual(order, {
      orderId: 'o-1',
      status: 'open',
      promised: aToday,
      expected: aToday,
      phone: '',
      product: '초당옥수수 10개',
      locale: 'en',
      statusVersion: 7,
      upsertVersion: 7,
    });
  });

  it('takes a newer event, of either kind', async () => {
    await run(anUpserted({ version: 0, product: 'a' }));
    await run(anUpserted({ version: 1, product: 'b' }));
    assert.deepEqual(await brief(), ['open', 'b', 1, 1]);
    await run(aStatusChange({ version: 2, status: 'claim' }));
    assert.deepEqual(await brief(), ['claim', 'b', 2, 1]);
    await run(anUpserted({ version: 3, product: 'c', status: 'shipped' }));
    assert.deepEqual(await brief(), ['shipped', 'c', 3, 3]);
  });

  it('leaves an order alone where an event is older than what it knows, or the same again', async () => {
    await run(anUpserted({ version: 5, product: 'new', status: 'shipped' }));
    const before = await theOrder();
    const late = [
      anUpserted({ version: 4, product: 'old' }),
      aStatusChange({ version: 4, status: 'claim' }),
      anUpserted({ version: 5, product: 'other', status: 'claim' }),
      aStatusChange({ version: 5, status: 'claim' }),
    ];
    for (const event of late) assert.deepEqual(await run(event), ['done']);
    assert.deepEqual(await run(...late), ['done', 'done', 'done', 'done']);
    assert.deepEqual(await theOrder(), before, 'not even another version of the row');
  });

  it('takes from an upsert that was overtaken by a new status what that status did not say', async () => {
    await run(anUpserted({ version: 1, product: 'a' }));
    await run(aStatusChange({ version: 3, status: 'canceled' }));
    await run(anUpserted({ version: 2, product: 'b', promisedShipDate: '2027-01-02' }));
    assert.deepEqual(await brief(), ['canceled', 'b', 3, 2]);
    assert.equal((await theOrder()).promised, '2027-01-02');
  });

  it('comes to the same with several events of an order in one batch, in any sequence', async () => {
    const events = [
      anUpserted({ version: 1, product: 'a' }),
      anUpserted({ version: 3, product: 'b', status: 'claim' }),
      aStatusChange({ version: 2, status: 'shipped' }),
      aStatusChange({ version: 4, status: 'delivered' }),
    ];
    await run(anUpserted({ version: 2, product: 'before' }));
    for (const batch of [events, events.toReversed()]) {
      assert.deepEqual(await run(...batch), ['done', 'done', 'done', 'done']);
      assert.deepEqual(await brief(), ['delivered', 'b', 4, 3]);
      await emptyTables(store);
    }
  });

  it('lets both events of one change have one version', async () => {
    await run(anUpserted({ version: 1, product: 'a' }));
    await run(aStatusChange({ version: 2, status: 'claim' }));
    await run(anUpserted({ version: 2, status: 'claim', product: 'b' }));
    assert.deepEqual(await brief(), ['claim', 'b', 2, 2]);
  });

  it('takes any event for newer than what a file said', async () => {
    await storeOrders(store, [{ product: 'of the file' }]);
    await run(aStatusChange({ version: 0, status: 'claim' }));
    assert.deepEqual(await brief(), ['claim', 'of the file', 0, null]);
    await run(anUpserted({ version: 0, product: 'of the shop' }));
    assert.deepEqual(await brief(), ['claim', 'of the shop', 0, 0]);
  });

  it('lets a file overwrite what events said, and the next event overwrite the file', async () => {
    await run(anUpserted({ version: 5, product: 'of the shop' }));
    await storeOrders(store, [{ product: 'of the file' }]);
    assert.deepEqual(await brief(), ['open', 'of the file', 5, 5]);
    await run(anUpserted({ version: 4, product: 'old' }));
    assert.equal((await theOrder()).product, 'of the file');
    await run(anUpserted({ version: 6, product: 'of the shop again' }));
    assert.equal((await theOrder()).product, 'of the shop again');
  });

  it('moves the date of a customer who was never told another one, and of no other', async () => {
    await run(anUpserted({ orderId: 'told' }), anUpserted({ orderId: 'untold' }));
    await store.query(
      `update orders set expected_ship_date = '2026-12-24', delay_count = 1, last_notice_id = $1
       where order_id = 'told'`,
      [aNoticeId()],
    );
    const parts = { version: 2, promisedShipDate: '2026-12-01' };
    await run(anUpserted({ orderId: 'told', ...parts }), anUpserted({ orderId: 'untold', ...parts }));
    assert.deepEqual(
      (await readFed(store)).map(({ orderId, promised, expected }) => [orderId, promised, expected]),
      [
        ['told', '2026-12-01', '2026-12-24'],
        ['untold', '2026-12-01', '2026-12-01'],
      ],
    );
    const [kept] = await store.query(
      `select delay_count as delays, last_notice_id is not null as notice from orders where order_id = 'told'`,
    );
    assert.deepEqual(kept, { delays: 1, notice: true });
  });

  it('has a new status wait for the order that it is of, and takes the rest', async () => {
    assert.deepEqual(
      await run(
        aStatusChange({ orderId: 'unknown', version: 3 }),
        anUpserted({ orderId: 'o-1' }),
        aStatusChange({ orderId: 'unknown', version: 2 }),
        aStatusChange({ orderId: 'o-2', version: 2, status: 'shipped' }),
        anUpserted({ orderId: 'o-2', version: 1 }),
        aStatusChange({ sellerId: 's-2', orderId: 'o-1' }),
      ),
      ['retriable UnknownOrder', 'done', 'retriable UnknownOrder', 'done', 'done', 'retriable UnknownOrder'],
    );
    assert.deepEqual(
      (await readFed(store)).map(({ orderId, status }) => [orderId, status]),
      [
        ['o-1', 'open'],
        ['o-2', 'shipped'],
      ],
    );
  });

  it('fails an event that can not be understood, alone', async () => {
    const bad = new MalformedEvent({ type: '?' }, 'type: expected another one');
    assert.deepEqual(await run(bad, anUpserted(), bad), [
      'failed MalformedError',
      'done',
      'failed MalformedError',
    ]);
    assert.deepEqual(await run(bad), ['failed MalformedError']);
  });

  it('tells which events an order stands at, or past', async () => {
    await run(anUpserted({ version: 2 }), aStatusChange({ version: 4 }));
    await storeOrders(store, ['of a file']);
    assert.deepEqual(
      await areTaken(store, [
        anUpserted({ version: 2 }),
        anUpserted({ version: 3 }),
        aStatusChange({ version: 3 }),
        aStatusChange({ version: 4 }),
        aStatusChange({ version: 5 }),
        aStatusChange({ orderId: 'unknown', version: 0 }),
        aStatusChange({ orderId: 'of a file', version: 0 }),
      ]),
      [true, false, true, true, false, false, false],
    );
    assert.deepEqual(await areTaken(store, []), []);
  });

  it('waits for a row that somebody else changes, and judges by what it is then', async () => {
    await run(anUpserted({ version: 1, product: 'a' }));
    let late: Promise<string[]> | undefined;
    await transaction(store, async (tx) => {
      await tx.query(`update orders set upsert_version = 9, status_version = 9, product = 'newest'`);
      late = run(anUpserted({ version: 5, product: 'late', status: 'claim' }));
      await until(
        async () => {
          const waiting = await store.query(`select from pg_locks where not granted`);
          return waiting.length > 0;
        },
        { what: 'the actor waits for the row' },
      );
    });
    assert.deepEqual(await late, ['done']);
    assert.deepEqual(await brief(), ['open', 'newest', 9, 9]);
  });

  it('never blocks itself: batches of the same orders at once, in any sequence', async () => {
    const random = randomFrom(5);
    const batches = Array.from({ length: 60 }, () =>
      Array.from({ length: 200 }, () => {
        const parts = { orderId: `o-${random.below(100)}`, version: random.below(1_000) };
        return random.below(2) ? anUpserted(parts) : aStatusChange(parts);
      }),
    );
    await run(...Array.from({ length: 100 }, (_, at) => anUpserted({ orderId: `o-${at}`, version: 0 })));
    const before = await deadlocks();
    await Promise.all(batches.map((batch) => run(...batch)));
    assert.equal((await deadlocks()) - before, 0);
  });
  const deadlocks = async () => {
    await store.query('select pg_stat_clear_snapshot()');
    const [row] = await store.query<{ count: number }>(
      'select deadlocks::int as count from pg_stat_database where datname = current_database()',
    );
    return row?.count ?? 0;
  };

  it('changes rows where they lie', async () => {
    await run(...Array.from({ length: 300 }, (_, at) => anUpserted({ orderId: `o-${at}` })));
    await run(...Array.from({ length: 300 }, (_, at) => aStatusChange({ orderId: `o-${at}` })));
    const counts = await until(
      async () => {
        const [row] = await store.query<{ updated: number; hot: number }>(
          `select n_tup_upd::int as updated, n_tup_hot_upd::int as hot from pg_stat_user_tables
           where relname = 'orders'`,
        );
        return (row?.updated ?? 0) >= 300 && row;
      },
      { what: 'Postgres has counted' },
    );
    assert(counts.hot >= 0.9 * counts.updated, JSON.stringify(counts));
  });

  it('says that Postgres is away', async () => {
    const away = openStore({ url: 'postgres://nobody@127.0.0.1:1/none', poolSize: 1, log: store.log });
    await assert.rejects(
      orders({ store: away }).run([{ header: {}, item: anUpserted(), attempt: 1, redelivered: false }]),
      InfrastructureError,
    );
    await away.close();
  });
});
