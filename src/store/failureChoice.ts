import type { FailureState } from './failureGroups.ts';
import { type FailureIds, theseIds } from './failureIds.ts';
import { lockGroupsOf } from './failureItems.ts';
import type { Sql, Tx } from './store.ts';

/** Failures by their ids, or those of a group up to the last one that somebody saw: what came later is not chosen. */
export type Choice =
  | { readonly failureIds: readonly string[] }
  | { readonly groupId: string; readonly upTo: string };

/** A failure that nothing can be done about, and who has it. */
export interface Left {
  failureId: string;
  state: FailureState;
  operationId: string | null;
}

/** Says that there is nothing to do, or not with these failures. Nothing was changed. */
export class OperationRefused extends Error {
  override name = 'OperationRefused';
}

/** What a choice comes to. */
export interface Chosen {
  /** Those that are open. */
  open: FailureIds;
  /** Of those that were chosen by id, the ones that are not. */
  left: Left[];
  /** The steps that gave up what was chosen, each once. */
  steps: string[];
}

/** Locks the groups of all that is chosen, open or not, until the transaction ends: who chooses after that chooses what stays so. */
export async function lockChoice(tx: Tx, choice: Choice): Promise<void> {
  if ('groupId' in choice)
    await tx.query('select from failure_groups where group_id = $1 for update', [choice.groupId]);
  else await lockGroupsOf(tx, theseIds(choice.failureIds));
}

/** Finds what is chosen; throws if there is no such group or failure. */
export async function choose(db: Sql, choice: Choice): Promise<Chosen> {
  if ('groupId' in choice) {
    const groups = await db.rows<[string]>('select step from failure_groups where group_id = $1', [
      choice.groupId,
    ]);
    if (groups.length === 0)
      throw new OperationRefused(`There is no group ${choice.groupId}: "chodang failed groups" shows all.`);
    return { open: openOf(choice), left: [], steps: groups.flat() };
  }
  const failureIds = [...new Set(choice.failureIds)];
  const rows = await db.query<Left & { step: string }>(
    `select failure_id as "failureId", state, operation_id as "operationId", step from failures
     where failure_id = any($1) order by failure_id`,
    [failureIds],
  );
  const known = new Set(rows.map(({ failureId }) => failureId));
  const unknown = failureIds.filter((id) => !known.has(id));
  if (unknown.length > 0)
    throw new OperationRefused(
      `There is no failure ${unknown.slice(0, 10).join(', ')}: "chodang failed list" shows all.`,
    );
  const isOpen = ({ state }: Left) => state === 'open';
  return {
    open: openOf({ failureIds }),
    left: rows
      .filter((row) => !isOpen(row))
      .map(({ failureId, state, operationId }) => ({ failureId, state, operationId })),
    steps: [...new Set(rows.filter(isOpen).map(({ step }) => step))],
  };
}

function openOf(choice: Choice): FailureIds {
  if ('groupId' in choice)
    return {
      sql: `select failure_id from failures
            where group_id = $3 and state = 'open' and failure_id > $1 and failure_id <= $4
            order by failure_id limit $2`,
      values: [choice.groupId, choice.upTo],
    };
  return {
    // The coalesce hides the state from the planner, which would read all that are open.
    sql: `select failure_id from failures
          where failure_id = any($3) and coalesce(state = 'open', false) and failure_id > $1
          order by failure_id limit $2`,
    values: [choice.failureIds],
  };
}

/** Says why nothing of a choice can be taken. */
export function nothingOpen(choice: Choice, left: readonly Left[]): string {
  if ('groupId' in choice) return `No failure of group ${choice.groupId} up to ${choice.upTo} is open.`;
  return `None of them is open: ${left.slice(0, 10).map(tellLeft).join('; ')}.`;
}

/** Says why nothing can be done about a failure. */
export const tellLeft = ({ failureId, state, operationId }: Left): string =>
  `${failureId} is ${state.replace('_', ' ')}${operationId === null ? '' : ` (operation ${operationId})`}`;
