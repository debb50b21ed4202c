import type { RetryName } from '../failures/retryName.ts';
import { type FailureState, settleGroups } from './failureGroups.ts';
import { type FailureIds, theseIds } from './failureIds.ts';
import type { Tx } from './store.ts';

/** What became of one failure in an operation. */
export type ItemState = 'waiting' | 'sent' | 'resolved' | 'failed_again' | 'canceled' | 'done';

/** The failures that an operation has or had in hand and that are in one of these states there. */
export const itemsOf = (operationId: string, states: readonly ItemState[]): FailureIds => ({
  sql: `select failure_id from failure_operation_items
        where operation_id = $3 and state = any($4) and failure_id > $1
        order by failure_id limit $2`,
  values: [operationId, states],
});

/** What is done with failures. */
export interface Move {
  /** From which state to which; those that are in another one are left alone. */
  from: FailureState;
  to: FailureState;
  /** Only those that are in this operation's hand. */
  inHandOf?: string;
  /** The operation in whose hand they are from now on, with this message instead of the one that came. */
  into?: { operationId: string; body?: Buffer | undefined };
  /** What they are from now on in the operation in whose hand they were, or in that in whose hand they will be. */
  item: ItemState;
}

/** What was moved. */
export interface Moved {
  failures: number;
  /** Each once. Those that were recorded before there were groups have none. */
  groupIds: string[];
}

/** So many are moved by one statement, which takes about a second: longer ones would run into the store's time limit. */
const sliceSize = 10_000;

/**
 * Moves failures from one state to another, with what they are in their operation, and keeps the counts of their
 * groups. Their groups must be locked; call `settleGroups` next.
 */
export async function moveFailures(tx: Tx, ids: FailureIds, move: Move): Promise<Moved> {
  const { from, to } = move;
  const counts = new Map<string, number>();
  let failures = 0;
  for (let after: string | null = '0'; after !== null; ) {
    const slice: Slice = await moveSlice(tx, ids, move, after);
    for (const [groupId, count] of slice.moved) {
      failures += count;
      if (groupId !== null) counts.set(groupId, (counts.get(groupId) ?? 0) + count);
    }
    after = slice.last;
  }
  // The states are columns of that name; they are ours, not somebody's input.
  await tx.query(
    `update failure_groups g set ${from} = g.${from} - k.count, ${to} = g.${to} + k.count
     from unnest($1::bigint[], $2::int[]) as k (group_id, count) where g.group_id = k.group_id`,
    [[...counts.keys()], [...counts.values()]],
  );
  return { failures, groupIds: [...counts.keys()] };
}

interface Slice {
  /** The last one that was looked at; null: there are none behind. */
  last: string | null;
  /** Of each group how many were moved. */
  moved: (readonly [groupId: string | null, count: number])[];
}

async function moveSlice(tx: Tx, ids: FailureIds, move: Move, after: string): Promise<Slice> {
  const { from, to, inHandOf, into, item } = move;
  const own = (n: number) => `$${2 + ids.values.length + n}`;
  const operation = own(3);
  const items = into
    ? `insert into failure_operation_items (operation_id, failure_id, state, body)
       select ${operation}, failure_id, ${own(4)}, ${own(5)}::bytea from moved`
    : `update failure_operation_items set state = ${own(4)}
       where operation_id = ${own(2)} and failure_id = any(array(select failure_id from moved)) and ${operation}::bigint is null`;
  // By array: a join might read all failures there are.
  const rows = await tx.rows<
    [last: string | null, full: boolean, groupId: string | null, count: number | null]
  >(
    `with slice as materialized (${ids.sql}),
     mine as materialized (
       select failure_id from failures
       where failure_id = any(array(select failure_id from slice)) and coalesce(state = '${from}', false)
         and (${own(2)}::bigint is null or operation_id = ${own(2)})
       order by failure_id for update
     ),
     moved as (
       update failures set state = ${own(1)}, state_at = now(), operation_id = coalesce(${operation}, operation_id)
       where failure_id = any(array(select failure_id from mine))
       returning failure_id, group_id
     ),
     items as (${items})
     select s.last, s.count = $2, m.group_id, m.count
     from (select max(failure_id) as last, count(*) as count from slice) s
     left join (select group_id, count(*)::int as count from moved group by group_id) m on true`,
    [after, sliceSize, ...ids.values, to, inHandOf, into?.operationId, item, ...(into ? [into.body] : [])],
  );
  const [first] = rows;
  return {
    last: first?.[1] ? first[0] : null,
    moved: rows.flatMap(([, , groupId, count]) => (count === null ? [] : [[groupId, count] as const])),
  };
}

/**
 * Closes failures whose retry failed: another failure has their place. Those that are in that operation's hand no
 * more are left alone. Their groups must be locked; returns those that changed, for `settleGroups`.
 */
export async function failAgain(tx: Tx, retries: readonly RetryName[]): Promise<string[]> {
  const groups: string[] = [];
  for (const operationId of new Set(retries.map((retry) => retry.operationId))) {
    const ids = retries
      .filter((retry) => retry.operationId === operationId)
      .map(({ failureId }) => failureId);
    const { groupIds } = await moveFailures(tx, theseIds(ids), {
      from: 'retrying',
      to: 'failed_again',
      inHandOf: operationId,
      item: 'failed_again',
    });
    groups.push(...groupIds);
  }
  return groups;
}

/** Locks the groups of failures until the transaction ends, in the order in which everybody does. */
export async function lockGroupsOf(tx: Tx, { sql, values }: FailureIds): Promise<void> {
  await tx.query(
    `select from failure_groups
     where group_id = any(array(
       select distinct group_id from failures where failure_id = any(array(${sql}))
     ))
     order by fingerprint for update`,
    [0, null, ...values],
  );
}

/** Moves failures and settles their groups, which it locks; returns how many it moved. */
export async function moveAndSettle(tx: Tx, ids: FailureIds, move: Move): Promise<number> {
  await lockGroupsOf(tx, ids);
  const { failures, groupIds } = await moveFailures(tx, ids, move);
  await settleGroups(tx, groupIds);
  return failures;
}
