import type { FailureKind } from '../failures/fingerprint.ts';
import { type Alert, raiseAlerts } from './alerts.ts';
import { column } from './batch.ts';
import { storable } from './storable.ts';
import type { Sql, Tx } from './store.ts';
import { StaleRead } from './unavailable.ts';

/** What became of a failure; `failed_again`: its retry failed, as another failure that has its place now. */
export const failureStates = ['open', 'retrying', 'resolved', 'failed_again', 'discarded'] as const;
export type FailureState = (typeof failureStates)[number];

/**
 * What became of the failures of a group: some are being retried; some are open, for the first time or (`reopened`)
 * after a retry or after all were closed; or none is left to be decided about.
 */
export const failureGroupStates = ['open', 'retrying', 'resolved', 'discarded', 'reopened'] as const;
export type FailureGroupState = (typeof failureGroupStates)[number];

/** The failures of one kind. */
export interface FailureGroup extends FailureKind {
  groupId: string;
  step: string;
  errorClass: string;
  state: FailureGroupState;
  /** How many failures there ever were, and how many distinct notices and sellers they concern; orders are added up. */
  failures: number;
  /** How many of them are to be decided about, and how many are being retried. */
  open: number;
  retrying: number;
  orders: number;
  notices: number;
  sellers: number;
  firstFailedAt: Date;
  lastFailedAt: Date;
  /** The failure that came last; who retries or discards the group says that this is the last one he saw. */
  sampleId: string;
  /** Where the next page of groups begins, for `after`. */
  cursor: string;
}

/** One failure on its way into its group. */
export interface Grouped extends FailureKind {
  step: string;
  errorClass: string;
  failedAt: Date;
}

/**
 * Makes the groups of these failures where they are missing, and locks them until the transaction ends, always in
 * the same order; gives their ids by fingerprint. The groups of failures that are there already, `failureIds`, are
 * locked with them.
 */
export async function lockGroups(
  tx: Tx,
  failures: readonly Grouped[],
  failureIds: readonly string[] = [],
): Promise<Map<string, string>> {
  const kinds = [...new Map(failures.map((failure) => [failure.fingerprint, failure])).values()].toSorted(
    (a, b) => (a.fingerprint < b.fingerprint ? -1 : 1),
  );
  const lock = () =>
    tx.rows<[fingerprint: string, groupId: string]>(
      `select fingerprint, group_id from failure_groups
       where fingerprint = any($1) or group_id = any(array(select group_id from failures where failure_id = any($2)))
       order by fingerprint for update`,
      [kinds.map((kind) => kind.fingerprint), failureIds],
    );
  const found = new Map(await lock());
  // Mostly there is none: an insert that meets what is there would use up an id each time.
  const missing = kinds.filter((kind) => !found.has(kind.fingerprint));
  if (missing.length === 0) return found;
  await tx.query(insertGroups, [
    column(missing, (kind) => kind.fingerprint),
    storable(column(missing, (kind) => kind.step)),
    storable(column(missing, (kind) => kind.errorClass)),
    storable(column(missing, (kind) => kind.frame)),
    storable(column(missing, (kind) => kind.message)),
    column(missing, (kind) => kind.failedAt.toISOString()),
  ]);
  const groups = new Map(await lock());
  if (kinds.some(({ fingerprint }) => !groups.has(fingerprint)))
    throw new StaleRead('a group was removed before it could be locked');
  return groups;
}

/** A failure that was added to a group. */
export interface Added {
  groupId: string;
  failureId: string;
  failedAt: Date;
  /** How many orders its message holds, and whose. */
  orders: number;
  noticeIds: readonly string[];
  sellerIds: readonly string[];
  /** Whether it is what a retry failed with. */
  cameBack: boolean;
}

/**
 * Counts failures that were added to locked groups, and alerts developers to groups that are new or have grown over
 * the threshold. Of the `locked` ones, those that stayed empty are dropped. Call `settleGroups` next.
 */
export async function countInGroups(
  tx: Tx,
  added: readonly Added[],
  { locked, threshold }: { locked: Iterable<string>; threshold: number | undefined },
): Promise<void> {
  const byGroup = new Map<string, Added[]>();
  for (const failure of added) {
    const of = byGroup.get(failure.groupId);
    if (of) of.push(failure);
    else byGroup.set(failure.groupId, [failure]);
  }
  const groups = [...byGroup].map(([groupId, failures]) => ({ groupId, failures }));
  if (groups.length > 0) {
    const notices = await countNew(tx, insertNotices, added, ({ noticeIds }) => noticeIds);
    const sellers = await countNew(tx, insertSellers, added, ({ sellerIds }) => sellerIds);
    const counted = await tx.query<Counted>(count, [
      groups.map(({ groupId }) => groupId),
      groups.map(({ failures }) => failures.length),
      groups.map(({ failures }) => failures.reduce((sum, { orders }) => sum + orders, 0)),
      groups.map(({ groupId }) => notices.get(groupId) ?? 0),
      groups.map(({ groupId }) => sellers.get(groupId) ?? 0),
      groups.map(({ failures }) => new Date(Math.min(...failures.map(({ failedAt }) => failedAt.getTime())))),
      groups.map(({ failures }) => new Date(Math.max(...failures.map(({ failedAt }) => failedAt.getTime())))),
      groups.map(({ failures }) => failures.at(-1)?.failureId),
      groups.map(({ failures }) => failures.some(({ cameBack }) => cameBack)),
    ]);
    await raiseAlerts(
      tx,
      counted.flatMap((group) => alertsOf(group, threshold)),
    );
  }
  const empty = [...locked].filter((groupId) => !byGroup.has(groupId));
  if (empty.length > 0)
    await tx.query('delete from failure_groups where failures = 0 and group_id = any($1)', [empty]);
}

/** What is counted of a group, once failures were added. */
interface Counted
  extends Pick<FailureGroup, 'groupId' | 'step' | 'errorClass' | 'message' | 'failures' | 'open'> {
  added: number;
}

function alertsOf(group: Counted, threshold: number | undefined): Alert[] {
  if (group.failures === group.added) return [alertOf('group new', group)];
  const limit =
    threshold === undefined ? undefined : thresholdPassed(group.open - group.added, group.open, threshold);
  return limit === undefined ? [] : [alertOf('group over threshold', group, { threshold: limit })];
}

const alertOf = (
  kind: Alert['kind'],
  group: Pick<FailureGroup, 'groupId' | 'step' | 'errorClass' | 'message' | 'open'>,
  more: Alert['detail'] = {},
): Alert => {
  const { groupId, step, errorClass, message, open } = group;
  return { kind, subject: `group ${groupId}`, detail: { groupId, step, errorClass, message, open, ...more } };
};

/** Tells which of `threshold`, ten times as many, a hundred times … was passed between two counts, the greatest of them. */
export function thresholdPassed(before: number, now: number, threshold: number): number | undefined {
  let passed: number | undefined;
  for (let limit = threshold; limit <= now; limit *= 10) if (before < limit) passed = limit;
  return passed;
}

/**
 * Gives locked groups the state that follows from their counts, and alerts developers to those that are resolved
 * or reopened by that.
 */
export async function settleGroups(tx: Tx, groupIds: readonly string[]): Promise<void> {
  const changed = await tx.query<
    Pick<FailureGroup, 'groupId' | 'state' | 'step' | 'errorClass' | 'message' | 'open'>
  >(settle, [groupIds]);
  await raiseAlerts(
    tx,
    changed.flatMap((group) =>
      group.state === 'resolved' || group.state === 'reopened'
        ? [alertOf(`group ${group.state}`, group)]
        : [],
    ),
  );
}

/** Which groups to list. */
export interface GroupFilter {
  /** At most so many; default 50. */
  limit?: number | undefined;
  /** Of those after (that failed last before) this one. */
  after?: string | undefined;
  /** Of these states only; default: all. */
  states?: readonly FailureGroupState[] | undefined;
}

/** Lists groups, those that failed last first. */
export async function listFailureGroups(
  db: Sql,
  { limit = 50, after, states }: GroupFilter = {},
): Promise<FailureGroup[]> {
  const [, lastFailedAt, groupId] = /^(.+)\/(\d+)$/.exec(after ?? '') ?? [];
  // The coalesce hides the states from the planner, which would read and sort all groups where it takes few to have them.
  return db.query<FailureGroup>(
    `${select}
     where ($2::timestamptz is null or (last_failed_at, group_id) < ($2, $3::bigint))
       and ($4::text[] is null or coalesce(state = any($4), false))
     order by last_failed_at desc, group_id desc limit $1`,
    [limit, lastFailedAt, groupId, states],
  );
}

/** Finds one group; undefined if there is none of that id. */
export async function findFailureGroup(db: Sql, groupId: string): Promise<FailureGroup | undefined> {
  const [group] = await db.query<FailureGroup>(`${select} where group_id = $1`, [groupId]);
  return group;
}

// The cursor is a text: a Date would lose the microseconds, and with them groups of a page.
const select = `
  select group_id as "groupId", fingerprint, step, error_class as "errorClass", frame, message, state,
         failures::float, open::float, retrying::float, orders::float, notices::float, sellers::float,
         first_failed_at as "firstFailedAt", last_failed_at as "lastFailedAt", sample_id as "sampleId",
         to_char(last_failed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '/' || group_id as cursor
  from failure_groups`;

async function countNew(
  tx: Tx,
  insert: string,
  added: readonly Added[],
  namesOf: (failure: Added) => readonly string[],
): Promise<Map<string, number>> {
  const pairs = added.flatMap((failure) => namesOf(failure).map((name) => [failure.groupId, name] as const));
  if (pairs.length === 0) return new Map();
  const rows = await tx.rows<[groupId: string, count: number]>(insert, [
    column(pairs, ([groupId]) => groupId),
    storable(column(pairs, ([, name]) => name)),
  ]);
  return new Map(rows);
}

const insertGroups = `
  insert into failure_groups (fingerprint, step, error_class, frame, message, first_failed_at, last_failed_at)
  select fingerprint, step, error_class, frame, message, at, at
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    as k (fingerprint, step, error_class, frame, message, at)
  on conflict (fingerprint) do nothing`;

// The groups are locked, so nobody else adds to them meanwhile.
const insertNotices = `
  with added as (
    insert into failure_group_notices (group_id, notice_id)
    select distinct * from unnest($1::bigint[], $2::uuid[]) on conflict do nothing returning group_id
  )
  select group_id, count(*)::int from added group by group_id`;

const insertSellers = `
  with added as (
    insert into failure_group_sellers (group_id, seller_id)
    select distinct * from unnest($1::bigint[], $2::text[]) on conflict do nothing returning group_id
  )
  select group_id, count(*)::int from added group by group_id`;

const count = `
  update failure_groups as g
  set failures = g.failures + k.failures, open = g.open + k.failures, orders = g.orders + k.orders,
      notices = g.notices + k.notices, sellers = g.sellers + k.sellers,
      first_failed_at = least(g.first_failed_at, k.first_at), last_failed_at = greatest(g.last_failed_at, k.last_at),
      sample_id = k.sample_id,
      came_back = g.came_back or g.state in ('resolved', 'discarded') or (k.came_back and g.failures > 0)
  from unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],
              $8::bigint[], $9::boolean[])
    as k (group_id, failures, orders, notices, sellers, first_at, last_at, sample_id, came_back)
  where g.group_id = k.group_id
  returning g.group_id as "groupId", g.step, g.error_class as "errorClass", g.message,
            g.failures::float, g.open::float, k.failures as added`;

// A group whose failures have all been removed keeps the state it had.
const settle = `
  with k as (
    select group_id, state as was,
           case when retrying > 0 then 'retrying'
                when open > 0 then case when came_back then 'reopened' else 'open' end
                when resolved + failed_again > 0 then 'resolved'
                when discarded > 0 then 'discarded'
                else state end as state
    from failure_groups where group_id = any($1)
  )
  update failure_groups as g
  set state = k.state, came_back = g.came_back and k.state in ('retrying', 'open', 'reopened'),
      closed_at = case when k.state in ('resolved', 'discarded') then now() end
  from k
  where g.group_id = k.group_id and k.was <> k.state
  returning g.group_id as "groupId", g.state, g.step, g.error_class as "errorClass", g.message, g.open::float`;
