import assert from 'node:assert/strict';
import type { Client, QueryConfig } from 'pg';
import { fillFailures, fillOperations } from '../../bench/failureRows.ts';
import { choose } from '../../src/store/failureChoice.ts';
import { listFailureGroups } from '../../src/store/failureGroups.ts';
import { listOperations } from '../../src/store/failureHistory.ts';
import { countIds, type FailureIds } from '../../src/store/failureIds.ts';
import { itemsOf, lockGroupsOf, moveFailures } from '../../src/store/failureItems.ts';
import { type FailureFilter, listFailures } from '../../src/store/failures.ts';
import { type Sql, type Store, transaction } from '../../src/store/store.ts';
import { migratedDatabase } from '../support/database.ts';

const limit = 50;

/** A node of a plan, as `explain (analyze, format json)` writes it. */
interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Node[];
}

/** A store that runs each `select` under `explain analyze` and keeps its plan; the answers are empty. */
function explaining(store: Store): { store: Store; nodes: Node[] } {
  const nodes: Node[] = [];
  const add = (node: Node) => {
    nodes.push(node);
    node.Plans?.forEach(add);
  };
  const over = <Asked extends Pick<Client, 'query'>>(asked: Asked): Asked =>
    new Proxy(asked, {
      get(_, name) {
        if (name !== 'query') return bound(asked, name);
        return async (query: string | QueryConfig) => {
          if (typeof query === 'string' || !/^\s*select/.test(query.text)) return asked.query(query);
          const { values } = query;
          const text = `explain (analyze, buffers, format json) ${query.text}`;
          const { rows } = await asked.query<{ 'QUERY PLAN': [{ Plan: Node }] }>({ text, values });
          for (const row of rows) add(row['QUERY PLAN'][0].Plan);
          return { rows: [] };
        };
      },
    });
  const run = async (text: string, values: readonly unknown[] = []) =>
    (await over(store.pool).query({ text, values: [...values] })).rows;
  const pool = new Proxy(store.pool, {
    get: (pool, name) => (name === 'connect' ? async () => over(await pool.connect()) : bound(pool, name)),
  });
  return { nodes, store: { ...store, pool, query: run, rows: run } };
}

function bound(of: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(of, name);
  return typeof value === 'function' ? value.bind(of) : value;
}

const tables = ['failures', 'failure_groups', 'failure_operations', 'failure_operation_items'];

describe('pages of failures', function () {
  this.timeout(60_000);
  let store: Store;
  let drop: () => Promise<void>;
  let greatest: string;
  let ids: string[];
  let cursors: string[];
  before(async () => {
    ({ store, drop } = await migratedDatabase());
    for (const table of tables) await store.query(`alter table ${table} set (autovacuum_enabled = off)`);
    greatest = await fillFailures(store, { failures: 20_000, groups: 1_000 });
    await fillOperations(store, { operations: 1_000, large: 100 });
    ids = (await listFailures(store, { limit: 20_000 })).map(({ failureId }) => failureId);
    cursors = (await listFailureGroups(store, { limit: 1_000 })).map(({ cursor }) => cursor);
  });
  after(() => drop());

  const place = (list: readonly string[], share: number) => list[Math.floor((list.length - 1) * share)];
  const pagesOf = (filter: FailureFilter) =>
    [undefined, 0.5, 0.99].map(
      (share) => (sql: Store) =>
        listFailures(sql, { ...filter, limit, before: share === undefined ? share : place(ids, share) }),
    );
  /** What is asked for is only known once the tables are filled. */
  const lists: Record<string, () => ((sql: Store) => Promise<unknown>)[]> = {
    'all failures': () => pagesOf({}),
    'open failures': () => pagesOf({ state: 'open' }),
    'failures of a state that few have': () => pagesOf({ state: 'discarded' }),
    'failures of a state that none has': () => pagesOf({ state: 'retrying' }),
    'failures of a group': () => pagesOf({ groupId: greatest }),
    'open failures of a group': () => pagesOf({ groupId: greatest, state: 'open' }),
    'failures of a group in a state that none has': () => pagesOf({ groupId: greatest, state: 'retrying' }),
    'all groups': () =>
      [undefined, 0.5, 0.99].map(
        (share) => (sql) =>
          listFailureGroups(sql, { limit, after: share === undefined ? share : place(cursors, share) }),
      ),
    'open groups': () =>
      [undefined, 0.5, 0.99].map(
        (share) => (sql) =>
          listFailureGroups(sql, {
            limit,
            states: ['open', 'reopened'],
            after: share === undefined ? share : place(cursors, share),
          }),
      ),
    operations: () =>
      [undefined, 500, 40].map(
        (before) => (sql) => listOperations(sql, { limit, before: before?.toString() }),
      ),
  };

  for (const [statistics, refresh] of [
    ['were never made', async () => undefined],
    ['were made when all was there', () => store.query('analyze')],
  ] as const)
    describe(`whose statistics ${statistics}`, () => {
      before(() => refresh());

      for (const [name, pages] of Object.entries(lists))
        it(`read little more than a page: ${name}`, async () => {
          for (const page of pages()) {
            const { store: explained, nodes } = explaining(store);
            await page(explained);
            assert.notEqual(nodes.length, 0);
            for (const node of nodes) assert.equal(whyTooMuch(node), undefined, JSON.stringify(nodes));
          }
        });

      it('end where the group ends, whatever else is in the index', async () => {
        const { store: explained, nodes } = explaining(store);
        await listFailures(explained, { groupId: greatest, state: 'retrying' });
        const blocks = nodes.map((node) => node['Shared Hit Blocks'] + node['Shared Read Blocks']);
        assert.ok(Math.max(...blocks) <= 5, `${Math.max(...blocks)} blocks are read for an empty page`);
      });

      it('find what is open in a group without reading the rest of it', async () => {
        const { store: explained, nodes } = explaining(store);
        const { open } = await choose(store, { groupId: greatest, upTo: ids[0] ?? '' });
        await countIds(explained, open);
        const indexes = nodes.flatMap((node) => node['Index Name'] ?? []);
        assert.deepEqual(indexes, ['failures_open_of_group']);
        for (const node of nodes) assert.equal(node['Rows Removed by Filter'] ?? 0, 0);
      });

      it('find a piece of it behind any of them, and read no more than that', async () => {
        const { open } = await choose(store, { groupId: greatest, upTo: ids[0] ?? '' });
        for (const share of [1, 0.5, 0.01]) {
          const { store: explained, nodes } = explaining(store);
          await explained.rows(open.sql, [place(ids, share), limit, ...open.values]);
          assert.notEqual(nodes.length, 0);
          for (const node of nodes) assert.equal(whyTooMuch(node), undefined, JSON.stringify(nodes));
        }
      });

      const some = () => [0.2, 0.5, 0.9].flatMap((share) => place(ids, share) ?? []);
      const inHand = async (tx: Sql) =>
        itemsOf(
          (await tx.rows<[string]>(`select operation_id from failure_operations limit 1`))[0]?.[0] ?? '',
          ['resolved'],
        );
      for (const [which, idsIn] of [
        [
          'open ones of a group',
          async (tx) => (await choose(tx, { groupId: greatest, upTo: ids[0] ?? '' })).open,
        ],
        ['some by their ids', async (tx) => (await choose(tx, { failureIds: some() })).open],
        ['those of an operation', inHand],
      ] satisfies [string, (tx: Sql) => Promise<FailureIds>][])
        it(`are locked and moved without reading all there are: ${which}`, async () => {
          const undone = new Error('enough was seen');
          const moving = transaction(store, async (tx) => {
            const moved = await idsIn(tx);
            // By this session, so some of it may be from before.
            const rowsRead = async () =>
              Number(
                (
                  await tx.rows(
                    `select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'failures'`,
                  )
                ).join(),
              );
            const before = await rowsRead();
            const count = await countIds(tx, moved);
            await lockGroupsOf(tx, moved);
            await moveFailures(tx, moved, { from: 'open', to: 'discarded', item: 'done' });
            const read = (await rowsRead()) - before;
            assert.ok(read > 0 && read <= 6 * count + limit, `read ${read} rows to move ${count}`);
            throw undone;
          });
          await assert.rejects(moving, undone);
        });
    });
});

/** Says why a node of a plan does more than a page should cost; undefined if it does not. */
function whyTooMuch(node: Node): string | undefined {
  const { 'Node Type': type, 'Relation Name': table = '', Plans: plans = [] } = node;
  if (type.includes('Seq Scan') && tables.includes(table)) return `reads all of ${table}`;
  const read = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  // How many items operations have is counted each time.
  if (table !== '' && table !== 'failure_operation_items' && read > 4 * limit)
    return `reads ${read} rows of ${table}`;
  const sorted = plans.reduce((sum, plan) => sum + plan['Actual Rows'], 0);
  if (type.includes('Sort') && sorted > limit) return `sorts ${sorted} rows`;
  return undefined;
}
