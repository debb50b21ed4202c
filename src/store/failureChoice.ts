import type { FailureState } from './failureGroups.ts';
import type { Sql } from './store.ts';

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

/** Finds the failures that are open, of those that are chosen; throws if there is no such group or failure. */
export async function choose(db: Sql, choice: Choice): Promise<{ chosen: string[]; left: Left[] }> {
  if ('groupId' in choice) {
    const groups = await db.query('select from failure_groups where group_id = $1', [choice.groupId]);
    if (groups.length === 0)
      throw new OperationRefused(`There is no group ${choice.groupId}: "chodang failed groups" shows all.`);
    const rows = await db.rows<[string]>(
      `select failure_id from failures where group_id = $1 and state = 'open' and failure_id <= $2
       order by failure_id`,
      [choice.groupId, choice.upTo],
    );
    return { chosen: rows.map(([failureId]) => failureId), left: [] };
  }
  const failureIds = [...new Set(choice.failureIds)];
  const rows = await db.query<Left>(
    `select failure_id as "failureId", state, operation_id as "operationId" from failures
     where failure_id = any($1) order by failure_id`,
    [failureIds],
  );
  const unknown = failureIds.filter((id) => !rows.some(({ failureId }) => failureId === id));
  if (unknown.length > 0)
    throw new OperationRefused(
      `There is no failure ${unknown.slice(0, 10).join(', ')}: "chodang failed list" shows all.`,
    );
  return {
    chosen: rows.filter(({ state }) => state === 'open').map(({ failureId }) => failureId),
    left: rows.filter(({ state }) => state !== 'open'),
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
