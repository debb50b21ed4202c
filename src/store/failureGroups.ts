import type { FailureKind } from '../failures/fingerprint.ts';
import { storable } from './storable.ts';
import type { Sql, Tx } from './store.ts';

/** What became of the failures of a group; `reopened`: it had been resolved or discarded, and failed again. */
export type FailureGroupState = 'open' | 'retrying' | 'resolved' | 'discarded' | 'reopened';

/** The failures of one kind. */
export interface FailureGroup extends FailureKind {
  groupId: string;
  step: string;
  errorClass: string;
  state: FailureGroupState;
  /** How many failures there are, and how many distinct notices and sellers they concern; orders are added up. */
  failures: number;
  orders: number;
  notices: number;
  sellers: number;
  firstFailedAt: Date;
  lastFailedAt: Date;
  /** The failure that came last. */
  sampleId: string;
}

/** One failure on its way into its group. */
export interface Grouped extends FailureKind {
  step: string;
  errorClass: string;
  failedAt: Date;
}

/**
 * Makes the groups of these failures where they are missing, and locks them until the transaction ends, always in
 * the same order; gives their ids by fingerprint.
 */
export async function lockGroups(tx: Tx, failures: readonly Grouped[]): Promise<Map<string, string>> {
  const kinds = [...new Map(failures.map((failure) => [failure.fingerprint, failure])).values()].toSorted(
    (a, b) => (a.fingerprint < b.fingerprint ? -1 : 1),
  );
  await tx.query(insertGroups, [
    kinds.map((kind) => kind.fingerprint),
    kinds.map((kind) => storable(kind.step)),
    kinds.map((kind) => storable(kind.errorClass)),
    kinds.map((kind) => storable(kind.frame)),
    kinds.map((kind) => storable(kind.message)),
    kinds.map((kind) => kind.failedAt),
  ]);
  const rows = await tx.rows<[fingerprint: string, groupId: string]>(
    `select fingerprint, group_id from failure_groups where fingerprint = any($1)
     order by fingerprint for update`,
    [kinds.map((kind) => kind.fingerprint)],
  );
  return new Map(rows);
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
}

/** Counts failures that were added to locked groups; of the `locked` ones, those that stayed empty are dropped. */
export async function countInGroups(
  tx: Tx,
  added: readonly Added[],
  locked: Iterable<string>,
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
    await tx.query(count, [
      groups.map(({ groupId }) => groupId),
      groups.map(({ failures }) => failures.length),
      groups.map(({ failures }) => failures.reduce((sum, { orders }) => sum + orders, 0)),
      groups.map(({ groupId }) => notices.get(groupId) ?? 0),
      groups.map(({ groupId }) => sellers.get(groupId) ?? 0),
      groups.map(({ failures }) => new Date(Math.min(...failures.map(({ failedAt }) => failedAt.getTime())))),
      groups.map(({ failures }) => new Date(Math.max(...failures.map(({ failedAt }) => failedAt.getTime())))),
      groups.map(({ failures }) => failures.at(-1)?.failureId),
    ]);
  }
  const empty = [...locked].filter((groupId) => !byGroup.has(groupId));
  if (empty.length > 0)
    await tx.query('delete from failure_groups where failures = 0 and group_id = any($1)', [empty]);
}

/** Lists groups, those that failed last first: at most `limit`, and of those after `after` if it is given. */
export async function listFailureGroups(
  db: Sql,
  { limit = 50, after }: { limit?: number; after?: { lastFailedAt: Date; groupId: string } } = {},
): Promise<FailureGroup[]> {
  return db.query<FailureGroup>(
    `select group_id as "groupId", fingerprint, step, error_class as "errorClass", frame, message, state,
            failures::float, orders::float, notices::float, sellers::float, first_failed_at as "firstFailedAt",
            last_failed_at as "lastFailedAt", sample_id as "sampleId"
     from failure_groups
     where $2::timestamptz is null or (last_failed_at, group_id) < ($2, $3::bigint)
     order by last_failed_at desc, group_id desc limit $1`,
    [limit, after?.lastFailedAt, after?.groupId],
  );
}

async function countNew(
  tx: Tx,
  insert: string,
  added: readonly Added[],
  namesOf: (failure: Added) => readonly string[],
): Promise<Map<string, number>> {
  const pairs = added.flatMap((failure) => namesOf(failure).map((name) => [failure.groupId, name] as const));
  if (pairs.length === 0) return new Map();
  const rows = await tx.rows<[groupId: string, count: number]>(insert, [
    pairs.map(([groupId]) => groupId),
    pairs.map(([, name]) => storable(name)),
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
  set failures = g.failures + k.failures, orders = g.orders + k.orders, notices = g.notices + k.notices,
      sellers = g.sellers + k.sellers, first_failed_at = least(g.first_failed_at, k.first_at),
      last_failed_at = greatest(g.last_failed_at, k.last_at), sample_id = k.sample_id,
      state = case when g.state in ('resolved', 'discarded') then 'reopened' else g.state end
  from unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],
              $8::bigint[])
    as k (group_id, failures, orders, notices, sellers, first_at, last_at, sample_id)
  where g.group_id = k.group_id`;
