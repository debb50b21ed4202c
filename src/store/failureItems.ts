import type { RetryName } from '../failures/retryName.ts';
import { type FailureState, settleGroups } from './failureGroups.ts';
import { bySlices, type FailureIds, firstOwn, type SliceQuery, theseIds } from './failureIds.ts';
import type { Tx } from './store.ts';

/** What became of one failure in an operation. */
export type ItemState = 'waiting' | 'sent' | 'resolved' | 'failed_again' | 'canceled' | 'done';

// What is coalesced is hidden from the planner. Of an operation that began since it took stock it believes that it has one
// item or none: it would read all million of them for each slice, to compare or to sort them.

/** The failures that an operation has or had in hand and that are in one of these states there. */
export const itemsOf = (operationId: string, states: readonly ItemState[]): FailureIds => ({
  sql: `select failure_id from failure_operation_items
        where operation_id = $3 and coalesce(state = any($4), false) and failure_id > $1
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

/**
 * Moves failures from one state to another, with what they are in their operation, and keeps the counts of their
 * groups. Their groups must be locked; call `settleGroups` next.
 */
export async function moveFailures(tx: Tx, ids: FailureIds, move: Move): Promise<Moved> {
  const { from, to } = move;
  const counts = new Map<string, number>();
  let failures = 0;
  for await (const slice of bySlices<[string | null, number]>(tx, ids, movingOf(ids, move)))
    for (const [groupId, count] of slice) {
      failures += count;
      if (groupId !== null) counts.set(groupId, (counts.get(groupId) ?? 0) + count);
    }
  // The states are columns of that name; they are ours, not somebody's input.
  await tx.query(
    `update failure_groups g set ${from} = g.${from} - k.count, ${to} = g.${to} + k.count
     from unnest($1::bigint[], $2::int[]) as k (group_id, count) where g.group_id = k.group_id`,
    [[...counts.keys()], [...counts.values()]],
  );
  return { failures, groupIds: [...counts.keys()] };
}

/** The statement that moves a slice; its rows tell for each group how many. */
function movingOf(ids: FailureIds, { from, to, inHandOf, into, item }: Move): SliceQuery {
  const [toNow, hand, operation, itemNow, body] = [0, 1, 2, 3, 4].map((at) => `$${firstOwn(ids) + at}`);
  const items = into
    ? `insert into failure_operation_items (operation_id, failure_id, state, body)
       select ${operation}, failure_id, ${itemNow}, ${body}::bytea from moved`
    : `update failure_operation_items set state = ${itemNow}
       where failure_id = any(array(select failure_id from moved)) and coalesce(operation_id = ${hand}, false)`;
  return {
    // By array: a join might read all failures there are.
    parts: [
      `mine as materialized (
         select failure_id from failures
         where failure_id = any(array(select failure_id from slice)) and coalesce(state = '${from}', false)
           and (${hand}::bigint is null or operation_id = ${hand})
         order by failure_id for update
       )`,
      `moved as (
         update failures set state = ${toNow}, state_at = now(), operation_id = coalesce(${operation}::bigint, operation_id)
         where failure_id = any(array(select failure_id from mine))
         returning failure_id, group_id
       )`,
      `items as (${items})`,
    ],
    rows: 'select group_id, count(*)::int from moved group by group_id',
    values: [to, inHandOf, into?.operationId, item, ...(into ? [into.body] : [])],
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
export async function lockGroupsOf(tx: Tx, ids: FailureIds): Promise<void> {
  const groupIds = new Set<string>();
  const groups = bySlices<[string]>(tx, ids, {
    rows: 'select distinct group_id from failures where failure_id = any(array(select failure_id from slice))',
  });
  for await (const slice of groups) for (const [groupId] of slice) groupIds.add(groupId);
  await tx.query('select from failure_groups where group_id = any($1) order by fingerprint for update', [
    [...groupIds],
  ]);
}

/** Moves failures and settles their groups, which must be locked; returns how many it moved. */
export async function moveAndSettle(tx: Tx, ids: FailureIds, move: Move): Promise<number> {
  const { failures, groupIds } = await moveFailures(tx, ids, move);
  await settleGroups(tx, groupIds);
  return failures;
}
