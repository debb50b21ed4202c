import { maskedFailure, viewOf } from '../../failures/view.ts';
import { type FailureState, listFailureGroups } from '../../store/failureGroups.ts';
import { findOperation, listItems, listOperations } from '../../store/failureHistory.ts';
import { recordLook } from '../../store/failureOperations.ts';
import { findFailures, listFailures } from '../../store/failures.ts';
import type { Output } from '../output.ts';
import { whoAmI } from '../who.ts';
import { withStore } from '../withStore.ts';
import { failureLine, failureLines, groupLines, itemLine, operationLine } from './print.ts';

interface Options {
  limit: number;
  json?: boolean;
}

/** Lists groups, those that failed last first. */
export function groups({ limit, json, all }: Options & { all?: boolean }, { say }: Output): Promise<void> {
  return withStore(async (store) => {
    const states = all ? undefined : (['open', 'retrying', 'reopened'] as const);
    const found = await listFailureGroups(store, { limit, states });
    for (const group of found)
      if (json) say(JSON.stringify(group));
      else groupLines(group).forEach(say);
    if (found.length === 0 && !json)
      say(all ? 'No message has failed.' : 'No failure is open. --all shows those of which nothing is.');
  });
}

/** Lists failures, the newest first. */
export function list(
  { limit, json, ...filter }: Options & { group?: string; state?: FailureState; before?: string },
  { say }: Output,
): Promise<void> {
  return withStore(async (store) => {
    const { group, state, before } = filter;
    const found = await listFailures(store, { limit, before, state, groupId: group });
    for (const failure of found)
      say(json ? JSON.stringify(maskedFailure(failure)) : failureLine(maskedFailure(failure)));
    if (json) return;
    const which = group === undefined ? '' : ` of group ${group}`;
    if (found.length === 0) say(`No failure${which} is ${state?.replace('_', ' ') ?? 'there'}.`);
    if (found.length === limit)
      say(`There may be more: --before ${found.at(-1)?.failureId}, or a greater --limit.`);
  });
}

/** Shows one failure. What is shown unmasked is recorded first. */
export function show(
  failureId: string,
  { json, reveal = false, why, by }: { json?: boolean; reveal?: boolean; why?: string; by?: string },
  { say }: Output,
): Promise<void> {
  return withStore(async (store) => {
    if (reveal && !why) throw new Error('expected --why with --reveal: why you need to see personal data');
    const [failure] = await findFailures(store, [failureId]);
    if (!failure)
      throw new Error(`There is no failure ${failureId}: "chodang failed list --state all" shows all.`);
    if (reveal) await recordLook(store, [failureId], { who: by ?? whoAmI(), why });
    const view = viewOf(failure, { revealed: reveal });
    if (json) say(JSON.stringify(view));
    else failureLines(view).forEach(say);
  });
}

/** Shows what was done with failures. */
export function history(
  operationId: string | undefined,
  { limit, json, failure }: Options & { failure?: string },
  { say }: Output,
): Promise<void> {
  return withStore(async (store) => {
    if (operationId === undefined) {
      const found = await listOperations(store, { limit, failureId: failure });
      for (const operation of found) say(json ? JSON.stringify(operation) : operationLine(operation));
      if (found.length === 0 && !json) say('Nobody has done anything with failed messages.');
      return;
    }
    const operation = await findOperation(store, operationId);
    if (!operation)
      throw new Error(`There is no operation ${operationId}: "chodang failed history" shows all.`);
    const items = await listItems(store, operationId, { limit });
    if (json) return say(JSON.stringify({ ...operation, failures: items }));
    say(operationLine(operation));
    for (const item of items) say(itemLine(item));
    if (items.length === limit) say('    There may be more: a greater --limit shows them.');
  });
}
