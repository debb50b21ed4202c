import type { RetryName } from '../failures/retryName.ts';
import { type FailureState, settleGroups } from './failureGroups.ts';
import type { Tx } from './store.ts';

/** What became of one failure in an operation. */
export type ItemState = 'waiting' | 'sent' | 'resolved' | 'failed_again' | 'canceled' | 'done';

/** A failure that went from one state to another. */
export interface Moved {
  failureId: string;
  /** Null where it was recorded before there were groups. */
  groupId: string | null;
}

/** Which failures go from which state to which. */
export interface Move {
  from: FailureState;
  to: FailureState;
  /** Only those that are in this operation's hand. */
  inHandOf?: string;
  /** The operation in whose hand they are from now on. */
  operationId?: string;
}

/** Which failures go from which state to which. */
export interface Move {
  from: FailureState;
  to: FailureState;
  /** Only those that are in this operation's hand. */
  inHandOf?: string;
  /** The operation in whose hand they are from now on. */
  operationId?: string;
}

/**
 * Moves failures from one state to another, those of them that are in that state, and keeps the counts of their
 * groups. Their groups must be locked; call `settleGroups` next.
 */
export async function moveFailures(
  tx: Tx,
  failureIds: readonly string[],
  { from, to, inHandOf, operationId }: Move,
): Promise<Moved[]> {
  const moved = await tx.query<Moved>(
    `update failures f
     set state = $3, state_at = now(), operation_id = coalesce($5, f.operation_id)
     from (
       select failure_id from failures
       where failure_id = any($1) and coalesce(state = $2, false) and ($4::bigint is null or operation_id = $4)
       order by failure_id for update
     ) k
     where f.failure_id = k.failure_id
     returning f.failure_id as "failureId", f.group_id as "groupId"`,
    [failureIds, from, to, inHandOf, operationId],
  );
  const counts = new Map<string, number>();
  for (const { groupId } of moved) if (groupId !== null) counts.set(groupId, (counts.get(groupId) ?? 0) + 1);
  // The states are columns of that name; they are ours, not somebody's input.
  await tx.query(
    `update failure_groups g set ${from} = g.${from} - k.count, ${to} = g.${to} + k.count
     from unnest($1::bigint[], $2::int[]) as k (group_id, count) where g.group_id = k.group_id`,
    [[...counts.keys()], [...counts.values()]],
  );
  return moved;
}

/** The groups of failures, each once. */
export const groupsOf = (moved: readonly Moved[]): string[] => [
  ...new Set(moved.flatMap(({ groupId }) => groupId ?? [])),
];

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
    const moved = await moveFailures(tx, ids, {
      from: 'retrying',
      to: 'failed_again',
      inHandOf: operationId,
    });
    await endItems(tx, operationId, moved, 'failed_again');
    groups.push(...groupsOf(moved));
  }
  return groups;
}

/** Records how items of an operation ended. */
export async function endItems(
  tx: Tx,
  operationId: string,
  failures: readonly Pick<Moved, 'failureId'>[],
  state: ItemState,
): Promise<void> {
  await tx.query(
    `update failure_operation_items set state = $3 where operation_id = $1 and failure_id = any($2)`,
    [operationId, failures.map(({ failureId }) => failureId), state],
  );
}

/** Locks the groups of failures until the transaction ends, in the order in which everybody does. */
export async function lockGroupsOf(tx: Tx, failureIds: readonly string[]): Promise<void> {
  await tx.query(
    `select from failure_groups
     where group_id = any(array(select distinct group_id from failures where failure_id = any($1)))
     order by fingerprint for update`,
    [failureIds],
  );
}

/** Moves failures and settles their groups, which it locks; returns what it moved. */
export async function moveAndSettle(tx: Tx, failureIds: readonly string[], move: Move): Promise<Moved[]> {
  await lockGroupsOf(tx, failureIds);
  const moved = await moveFailures(tx, failureIds, move);
  await settleGroups(tx, groupsOf(moved));
  return moved;
}
