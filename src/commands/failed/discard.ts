import { tellLeft } from '../../store/failureChoice.ts';
import { type By, discardFailures, undoDiscard } from '../../store/failureOperations.ts';
import type { Output } from '../output.ts';
import { count } from '../progress.ts';
import { whoAmI } from '../who.ts';
import { withStore } from '../withStore.ts';
import { type ChoiceOptions, choiceOf } from './parse.ts';

/** Gives failures up. */
export function discard(
  ids: string[] | undefined,
  options: ChoiceOptions & { reason: string; by?: string; json?: boolean },
  { say, warn }: Output,
): Promise<void> {
  const choice = choiceOf(ids, options);
  const why = options.reason.trim();
  if (why === '') throw new Error('expected a reason that says something: --reason "a test order"');
  return withStore(async (store, config) => {
    const by: By & { why: string } = { who: options.by ?? whoAmI(), why };
    const { operationId, failures, left } = await discardFailures(store, { by, choice });
    for (const each of left) warn(`Left alone: ${tellLeft(each)}.`);
    if (options.json) return say(JSON.stringify({ operationId, failures, left }));
    say(
      `Operation ${operationId} discarded ${count(failures)} failure(s); their orders stay failed. ` +
        `Within ${config.failures.undoDays} days it can be taken back: chodang failed undo ${operationId}`,
    );
  });
}

/** Takes a discard back. */
export function undo(
  operationId: string,
  { why, by, json }: { why?: string; by?: string; json?: boolean },
  { say }: Output,
): Promise<void> {
  return withStore(async (store, config) => {
    const undone = await undoDiscard(store, operationId, {
      by: { who: by ?? whoAmI(), why },
      withinDays: config.failures.undoDays,
    });
    if (json) return say(JSON.stringify(undone));
    say(`Operation ${undone.operationId} took it back: ${count(undone.failures)} failure(s) are open again.`);
  });
}
