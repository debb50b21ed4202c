import { choose } from '../src/store/failureChoice.ts';
import { listFailureGroups } from '../src/store/failureGroups.ts';
import { listOperations } from '../src/store/failureHistory.ts';
import { countIds } from '../src/store/failureIds.ts';
import { beginRetry, endRetry } from '../src/store/failureOperations.ts';
import { type FailureFilter, listFailures } from '../src/store/failures.ts';
import type { Sql } from '../src/store/store.ts';
import { emptyFailures } from './failureRecording.ts';
import { fillFailures, fillOperations } from './failureRows.ts';
import { median, quantile } from './median.ts';
import type { openServers } from './open.ts';

type Servers = Awaited<ReturnType<typeof openServers>>;

const groups = 1_200;
const limit = 50;
const calls = 200;
const places = ['first', 'middle', 'last'] as const;

/**
 * Measures pages of 50 over `rows` failures in 1,200 groups, each asked for 200 times through the functions of
 * the store: first pages, pages around the middle (another one each time), last pages.
 *
 * Twice: with tables that were never analyzed, and after `vacuum analyze`. Fails unless each page has the rows that
 * it should have, in their order. The slowest page's p50 and p99 are given, those of each page, and those of `select 1`
 * as a floor.
 *
 * Then what an operator waits for who retries a group with every tenth of all failures open: the snapshot, beginning
 * the retry, and canceling it.
 */
export async function measurePages(
  { store }: Servers,
  { rows, say }: { rows: number; say: (line: string) => void },
) {
  await emptyFailures(store);
  // Or it would analyze them behind our back.
  for (const table of ['failures', 'failure_groups', 'failure_operations', 'failure_operation_items'])
    await store.query(`alter table ${table} set (autovacuum_enabled = off)`);
  say(`filling in ${rows} failures`);
  const greatest = await fillFailures(store, { failures: rows, groups });
  await fillOperations(store, { operations: 2_000, large: 10_000 });
  await store.query('checkpoint');
  const listings = await listingsOf(store, greatest);
  const unanalyzed = await measureAll('never analyzed', listings, say);
  for (const table of ['failures', 'failure_groups', 'failure_operations', 'failure_operation_items'])
    await store.query(`alter table ${table} reset (autovacuum_enabled)`);
  await store.query('vacuum analyze');
  const analyzed = await measureAll('analyzed', listings, say);
  const floor = await measureFloor(store);
  say(`select 1: ${JSON.stringify(floor)}`);
  return {
    failures: rows,
    groups,
    pageP50Ms: worst(analyzed, 'P50Ms'),
    pageP99Ms: worst(analyzed, 'P99Ms'),
    pages: analyzed,
    unanalyzedPageP50Ms: worst(unanalyzed, 'P50Ms'),
    unanalyzedPageP99Ms: worst(unanalyzed, 'P99Ms'),
    unanalyzedPages: unanalyzed,
    ...floor,
    ...(await measureGreatest(store, greatest, rows, say)),
  };
}

/** A list that is read page by page. */
interface Listing {
  name: string;
  /** The ids of all that it has, in their order, and the cursor that leads to what comes after each. */
  all: [id: string, cursor: string][];
  page: (this: void, cursor: string | undefined) => Promise<string[]>;
}

async function listingsOf(db: Sql, greatest: string): Promise<Listing[]> {
  const ofFailures = async (name: string, filter: FailureFilter, where: string): Promise<Listing> => ({
    name,
    all: await db.rows(
      `select failure_id, failure_id from failures where ${where} order by failure_id desc`,
      [],
    ),
    async page(before) {
      return (await listFailures(db, { ...filter, before, limit })).map(({ failureId }) => failureId);
    },
  });
  const ofGroups = async (name: string, states?: 'open'[]): Promise<Listing> => ({
    name,
    all: await db.rows(
      `select group_id, to_char(last_failed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '/' || group_id
       from failure_groups where $1::text[] is null or state = any($1) order by last_failed_at desc, group_id desc`,
      [states],
    ),
    async page(after) {
      return (await listFailureGroups(db, { states, after, limit })).map(({ groupId }) => groupId);
    },
  });
  return [
    await ofFailures('failures', {}, 'true'),
    await ofFailures('openFailures', { state: 'open' }, `state = 'open'`),
    await ofFailures('discardedFailures', { state: 'discarded' }, `state = 'discarded'`),
    await ofFailures('retryingFailures', { state: 'retrying' }, `state = 'retrying'`),
    await ofFailures('failuresOfGroup', { groupId: greatest }, `group_id = ${greatest}`),
    await ofFailures(
      'openFailuresOfGroup',
      { groupId: greatest, state: 'open' },
      `group_id = ${greatest} and state = 'open'`,
    ),
    await ofFailures(
      'retryingFailuresOfGroup',
      { groupId: greatest, state: 'retrying' },
      `group_id = ${greatest} and state = 'retrying'`,
    ),
    await ofGroups('groups'),
    await ofGroups('openGroups', ['open']),
    {
      name: 'operations',
      all: await db.rows(
        'select operation_id, operation_id from failure_operations order by operation_id desc',
      ),
      async page(before) {
        return (await listOperations(db, { before, limit })).map(({ operationId }) => operationId);
      },
    },
  ];
}

type Figures = Record<string, Record<string, number>>;

async function measureAll(
  what: string,
  listings: readonly Listing[],
  say: (line: string) => void,
): Promise<Figures> {
  const figures: Figures = {};
  for (const listing of listings) {
    const own: Record<string, number> = {};
    figures[listing.name] = own;
    for (const place of places) {
      const times: number[] = [];
      for (let call = 0; call < calls; call += 1) times.push(await measureOne(listing, place, call));
      own[`${place}P50Ms`] = round(median(times));
      own[`${place}P99Ms`] = round(quantile(times, 0.99));
    }
    say(`${what}, ${listing.name} (${listing.all.length}): ${JSON.stringify(own)}`);
  }
  return figures;
}

/** What the machine makes of a statement that does nothing. */
async function measureFloor(db: Sql) {
  const times: number[] = [];
  for (let call = 0; call < calls; call += 1) {
    const started = performance.now();
    await db.query('select 1');
    times.push(performance.now() - started);
  }
  return { floorP50Ms: round(median(times)), floorP99Ms: round(quantile(times, 0.99)) };
}

async function measureOne(
  { name, all, page }: Listing,
  place: (typeof places)[number],
  call: number,
): Promise<number> {
  const last = Math.max(0, all.length - limit);
  const from = { first: 0, middle: Math.floor(last * (0.4 + (0.2 * call) / calls)), last }[place];
  const cursor = from === 0 ? undefined : all[from - 1]?.[1];
  const started = performance.now();
  const ids = await page(cursor);
  const took = performance.now() - started;
  const expected = all.slice(from, from + limit).map(([id]) => id);
  if (ids.join() !== expected.join())
    throw new Error(`${name}: expected ${expected.join()}, got ${ids.join()}`);
  return took;
}

async function measureGreatest(
  store: Servers['store'],
  groupId: string,
  rows: number,
  say: (line: string) => void,
) {
  const [row] = await store.rows<[string]>('select sample_id from failure_groups where group_id = $1', [
    groupId,
  ]);
  const choice = { groupId, upTo: row?.[0] ?? '' };
  const snapshots: number[] = [];
  for (let call = 0; call < 20; call += 1) {
    const started = performance.now();
    const chosen = await countIds(store, (await choose(store, choice)).open);
    snapshots.push(performance.now() - started);
    if (chosen !== Math.floor(rows / 10))
      throw new Error(`expected ${Math.floor(rows / 10)} failures in the snapshot, got ${chosen}`);
  }
  const started = performance.now();
  const { operationId, failures } = await beginRetry(store, {
    by: { who: 'bench' },
    choice,
    options: { canary: 1, ratePerSecond: 100, stopAfter: 5, path: null },
  });
  const began = performance.now();
  await endRetry(store, operationId, { state: 'canceled', who: 'bench', why: undefined });
  const ended = performance.now();
  await store.query('vacuum analyze');
  const figures = {
    snapshotFailures: failures,
    snapshotMs: round(median(snapshots)),
    beginRetrySeconds: round((began - started) / 1_000),
    cancelRetrySeconds: round((ended - began) / 1_000),
  };
  say(`a group with ${failures} open failures: ${JSON.stringify(figures)}`);
  return figures;
}

const worst = (figures: Figures, ending: string) =>
  Math.max(
    ...Object.values(figures).flatMap((own) =>
      Object.entries(own).flatMap(([name, value]) => (name.endsWith(ending) ? value : [])),
    ),
  );

const round = (value: number) => Number(value.toFixed(2));
