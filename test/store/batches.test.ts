import assert from 'node:assert/strict';
import { type WantedDelay, wantedDelay } from '../../src/rules/notice.ts';
import { column, plain, readColumns, selectColumns } from '../../src/store/batch.ts';
import { delayOrders } from '../../src/store/delay.ts';
import { insertChunks, markChunksDone } from '../../src/store/intake.ts';
import { readOrders } from '../../src/store/ledger.ts';
import {
  beginSending,
  type Ending,
  forgetSending,
  keepSending,
  readToSend,
  recordEndings,
  type ToSend,
} from '../../src/store/sending.ts';
import { type Store, transaction } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase, statesOf, storeOrders } from '../support/database.ts';
import { aNotice, aToday } from '../support/makers.ts';

describe('batches in Postgres', () => {
  let store: Store;
  let drop: () => Promise<void>;
  // One connection, so that what it counts is there as soon as it is asked for.
  before(async () => ({ store, drop } = await migratedDatabase({ poolSize: 1 })));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const limits = { maxDaysLate: 30, maxDelays: 3 };
  const ids = Array.from({ length: 5_000 }, (_, i) => `order-${String(i).padStart(8, '0')}`);

  it('update rows in place (HOT), from delayed to notified', async () => {
    await storeOrders(store, ids);
    const notice = aNotice();
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    for (let i = 0; i < wanted.length; i += 500)
      await delayOrders(store, wanted.slice(i, i + 500), aToday, limits);
    for (let i = 0; i < wanted.length; i += 500)
      await recordEndings(
        store,
        wanted.slice(i, i + 500).map(({ noticeId, sellerId, orderId }) => ({
          noticeId,
          sellerId,
          orderId,
          state: 'notified' as const,
          gatewayId: '01900000-0000-7000-8000-000000000000',
        })),
      );
    await store.query('select pg_stat_force_next_flush()');
    const stats = await store.query<{ relname: string; updated: number; hot: number }>(
      `select relname, n_tup_upd::int as updated, n_tup_hot_upd::int as hot from pg_stat_user_tables
         where relname in ('orders', 'ledger') order by 1`,
    );
    assert.deepEqual(stats, [
      { relname: 'ledger', updated: ids.length, hot: ids.length },
      { relname: 'orders', updated: ids.length, hot: ids.length },
    ]);
  });

  it('look rows up by key, whatever the statistics say', async () => {
    await storeOrders(store, ids);
    const notice = aNotice();
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    await delayOrders(store, wanted, aToday, limits);
    // The planner is told the worst: nothing is `delayed`, and there is one notice.
    await store.query("update ledger set state = 'notified', sending_at = now()");
    await store.query('vacuum analyze orders, ledger');
    await store.query("update ledger set state = 'delayed', sending_at = null");
    const batch = wanted.slice(0, 2_000);
    const before = await rowsRead();
    await readOrders(store, batch);
    await delayOrders(store, batch, aToday, limits);
    await beginSending(store, batch);
    await forgetSending(store, batch);
    await keepSending(store, batch, 0);
    await recordEndings(
      store,
      batch.map((key) => ({ ...key, state: 'unconfirmed' as const })),
    );
    const after = await rowsRead();
    assert.equal(after.ledger - before.ledger, 6 * batch.length);
    assert.equal(after.orders - before.orders, 2 * batch.length);
  });

  it('take a judgement, and how it ended, straight to the rows that were read', async () => {
    await storeOrders(store, ids);
    const notice = aNotice();
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    const found = await readOrders(store, wanted);
    const judged = wanted.map((one, i) => ({ ...one, version: found[i]?.version })).slice(0, 2_000);
    const before = await rowsRead();
    await delayOrders(store, judged, aToday, limits);
    const between = await rowsRead();
    assert.deepEqual(
      { orders: between.orders - before.orders, ledger: between.ledger - before.ledger },
      { orders: judged.length, ledger: 0 },
    );
    const rows = await readToSend(store, judged);
    const read = await rowsRead();
    await recordEndings(store, endingsOf(judged, rows));
    assert.equal((await rowsRead()).ledger - read.ledger, 0);
    assert.deepEqual(new Set(Object.values(await statesOf(store, notice))), new Set(['notified']));
  });

  it('look rows up by key also when they were planned while there was nothing to read', async () => {
    const notice = aNotice();
    await store.query('vacuum analyze orders, ledger'); // now Postgres knows that they are empty
    const few = ids.slice(0, 20).map((orderId) => wantedDelay(notice, { orderId }));
    for (let time = 0; time < 10; time += 1) {
      await readOrders(store, few);
      await readToSend(store, few);
    }
    const planned = await store.query(
      `select name, generic_plans > 0 once from pg_prepared_statements where name in ('read_orders', 'read_to_send')
       order by name`,
    );
    assert.deepEqual(planned, [
      { name: 'read_orders', once: true },
      { name: 'read_to_send', once: true },
    ]);
    await storeOrders(store, ids);
    const wanted = ids.map((orderId) => wantedDelay(notice, { orderId }));
    await delayOrders(store, wanted, aToday, limits);
    const batch = wanted.slice(0, 2_000);
    const before = await rowsRead();
    await readOrders(store, batch);
    await readToSend(store, batch);
    const after = await rowsRead();
    assert.equal(after.ledger - before.ledger, 2 * batch.length);
    assert.equal(after.orders - before.orders, 2 * batch.length);
  });

  it('mark chunks by key, however many wait and whatever the statistics say', async () => {
    const notice = aNotice();
    await store.query('vacuum analyze intake'); // now Postgres knows that it is empty
    const chunks = Array.from({ length: 2_000 }, (_, chunkNo) => ({ chunkNo, chunk: '{}' }));
    await transaction(store, (tx) => insertChunks(tx, [{ ...notice, lane: 'bulk', chunks }]));
    const { noticeId } = notice;
    const some = chunks.slice(0, 200).map(({ chunkNo }) => ({ noticeId, chunkNo }));
    const before = await rowsRead();
    await markChunksDone(store, some);
    assert.equal((await rowsRead()).intake - before.intake, some.length);
  });

  it('record the other endings where one row was settled by somebody else meanwhile', async () => {
    await storeOrders(store, ids.slice(0, 3));
    const notice = aNotice();
    const wanted = ids.slice(0, 3).map((orderId) => wantedDelay(notice, { orderId }));
    await delayOrders(store, wanted, aToday, limits);
    const rows = await readToSend(store, wanted);
    await store.query("update ledger set state = 'failed' where order_id = $1", [ids[1]]);
    await recordEndings(store, endingsOf(wanted, rows));
    assert.deepEqual(Object.values(await statesOf(store, notice)), ['notified', 'failed', 'notified']);
  });

  /** That all were notified, as the ledger's rows were when they were read. */
  const endingsOf = (wanted: readonly WantedDelay[], rows: readonly (ToSend | undefined)[]): Ending[] =>
    wanted.map(({ noticeId, sellerId, orderId }, i) => ({
      noticeId,
      sellerId,
      orderId,
      row: rows[i]?.row,
      state: 'notified',
    }));

  const columns: [string, (string | number | null | undefined)[]][] = [
    ['text', ['a', '', null, undefined, 'null', '{', ',']],
    ['text', ['"', '\\', 'a"\\b', '\n\t', '주문', '\u2028', '🌽']],
    ['text', [null, undefined]],
    ['int', [1, null, -2]],
  ];
  for (const [type, values] of columns)
    it(`hand over ${type} ${JSON.stringify(values)} as it is`, async () => {
      const rows = await store.query(
        `select v from unnest($1::${type}[], $2::int[]) as u (v, i) order by i`,
        [column(values, (value) => value), column([...values.keys()], (at) => at)],
      );
      assert.deepEqual(
        rows.map(({ v }) => v),
        values.map((value) => value ?? null),
      );
    });

  it('come back as whole columns, whatever people wrote into them', async () => {
    const read = (...columns: string[]) =>
      readColumns(store, `${selectColumns(columns)} from unnest($1::text[]) with ordinality as u (v, i)`, [
        ['a', null, '', '초당\n옥수수', 'b\u001fc'],
      ]);
    assert.deepEqual(await read('i', plain('v')), [
      ['1', '2', '3', '4', '5'],
      ['a', '', '', '초당\n옥수수', 'b c'],
    ]);
    await assert.rejects(read('i', 'v'), /keeps the values of a column apart/);
    assert.deepEqual(await readColumns(store, `${selectColumns(['1', "'a'"])} where false`, []), [[], []]);
  });

  /** How many rows statements have read so far, by table. */
  async function rowsRead(): Promise<{ ledger: number; orders: number; intake: number }> {
    await store.query('select pg_stat_force_next_flush()');
    const rows = await store.query<{ relname: string; n: number }>(
      `select relname, (coalesce(idx_tup_fetch, 0) + seq_tup_read)::int as n from pg_stat_user_tables`,
    );
    const of = (name: string) => rows.find(({ relname }) => relname === name)?.n ?? Number.NaN;
    return { ledger: of('ledger'), orders: of('orders'), intake: of('intake') };
  }
});
