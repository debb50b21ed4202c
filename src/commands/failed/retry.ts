import type { Config } from '../../config/schema.ts';
import { stepNamesOf } from '../../config/topology.ts';
import { foreseeRetry, type RetrySettings, retryFailures } from '../../failures/retry.ts';
import { today } from '../../rules/dates.ts';
import { type Choice, tellLeft } from '../../store/failureChoice.ts';
import { findOperation } from '../../store/failureHistory.ts';
import { type Begun, endRetry } from '../../store/failureOperations.ts';
import type { Store } from '../../store/store.ts';
import type { Output } from '../output.ts';
import { count } from '../progress.ts';
import { whoAmI } from '../who.ts';
import { withStore } from '../withStore.ts';
import { followRetry } from './follow.ts';
import { type ChoiceOptions, choiceOf } from './parse.ts';
import { foreseenLine, itemsTold } from './print.ts';

interface RetryCommandOptions extends ChoiceOptions {
  canary: number;
  rate: number | null;
  stopAfter: number;
  path?: 'legacy';
  dryRun?: boolean;
  wait: boolean;
  why?: string;
  by?: string;
  json?: boolean;
}

/** What the configuration says that matters to a retry. */
export const retrySettings = (config: Config): RetrySettings => ({
  steps: stepNamesOf(config),
  limits: config.limits,
  today: () => today(() => new Date(), config.shop.timeZone),
});

/** Retries failures, and follows them to their end. */
export function retry(
  ids: string[] | undefined,
  options: RetryCommandOptions,
  output: Output,
): Promise<void> {
  const choice = choiceOf(ids, options);
  const { canary, rate: ratePerSecond, stopAfter, path = null, why, by, dryRun } = options;
  return withStore(async (store, config) => {
    const settings = retrySettings(config);
    if (dryRun) return dryRunOf(store, settings, { choice, path }, options, output);
    const begun = await retryFailures(store, settings, {
      by: { who: by ?? whoAmI(), why },
      choice,
      options: { canary, ratePerSecond, stopAfter, path },
    });
    const pace = ratePerSecond === null ? 'then the rest at once' : `then ${count(ratePerSecond)} a second`;
    const how = canary === 0 ? pace.replace('then ', '') : `${count(canary)} first, ${pace}`;
    await tellAndFollow(
      store,
      begun,
      options,
      output,
      `${how}; it stops when ${count(stopAfter)} failed again`,
    );
  });
}

async function dryRunOf(
  store: Store,
  settings: RetrySettings,
  { choice, path }: { choice: Choice; path: 'legacy' | null },
  { json }: { json?: boolean },
  { say }: Output,
): Promise<void> {
  const sum = { failures: 0, goOn: 0, settled: 0, rejected: 0, wouldFail: 0, leftAlone: 0 };
  for await (const page of foreseeRetry(store, settings, { choice, path }))
    for (const foreseen of page) {
      say(json ? JSON.stringify(foreseen) : foreseenLine(foreseen));
      sum.failures += foreseen.would === 'go' ? 1 : 0;
      sum.wouldFail += foreseen.would === 'fail' ? 1 : 0;
      sum.leftAlone += foreseen.would === 'skip' ? 1 : 0;
      sum.goOn += foreseen.goOn;
      sum.settled += foreseen.settled;
      sum.rejected += Object.values(foreseen.rejected).reduce((all, orders) => all + orders.length, 0);
    }
  if (json) return say(JSON.stringify({ dryRun: true, ...sum }));
  say(
    `Nothing was changed. ${count(sum.failures)} would be retried: ${count(sum.goOn)} orders would go on, ` +
      `${count(sum.settled)} are settled already, ${count(sum.rejected)} would be rejected. ` +
      `${count(sum.wouldFail)} would fail again, ${count(sum.leftAlone)} would be left alone.`,
  );
}

/** Tells that a retry has begun, follows it unless told not to, and ends with 0 only if all of it succeeded. */
export async function tellAndFollow(
  store: Store,
  { operationId, failures, left }: Begun,
  { json, wait }: { json?: boolean; wait: boolean },
  output: Output,
  how?: string,
): Promise<void> {
  const { say, warn } = output;
  for (const each of left) warn(`Left alone: ${tellLeft(each)}.`);
  if (!json)
    say(
      `Operation ${operationId} retries ${count(failures)} failure(s)${how === undefined ? '' : `: ${how}`}.`,
    );
  else if (!wait) say(JSON.stringify({ operationId, failures, left }));
  if (!wait) {
    if (!json)
      say(
        `How far it is: chodang failed watch ${operationId}. To end it: chodang failed cancel ${operationId}`,
      );
    return;
  }
  await follow(store, operationId, { json, left }, output);
}

async function follow(
  store: Store,
  operationId: string,
  { json, left = [] }: { json?: boolean | undefined; left?: Begun['left'] },
  { say, warn }: Output,
): Promise<void> {
  const operation = await followRetry(store, operationId, { warn });
  if (!operation) {
    warn(
      `Operation ${operationId} goes on without this terminal. To end it: chodang failed cancel ${operationId}`,
    );
    process.exitCode = 130;
    return;
  }
  const { state, items, endedBy, endedWhy } = operation;
  const { resolved = 0, ...others } = items;
  if (state !== 'done' || Object.keys(others).length > 0) process.exitCode = 1;
  if (json) return say(JSON.stringify({ ...operation, left }));
  const why =
    state === 'done' ? '' : `${endedBy === null ? '' : ` by ${endedBy}`}: ${endedWhy ?? 'no reason given'}`;
  say(`Operation ${operationId} is ${state}${why}. ${itemsTold({ resolved, ...others })}.`);
  if (process.exitCode === 1) say(`Each of its failures: chodang failed history ${operationId}`);
}

/** Follows a retry that was begun elsewhere. */
export function watch(operationId: string, { json }: { json?: boolean }, output: Output): Promise<void> {
  return withStore(async (store) => {
    const operation = await findOperation(store, operationId);
    if (operation?.kind !== 'retry')
      throw new Error(`There is no retry ${operationId}: "chodang failed history" shows all operations.`);
    await follow(store, operationId, { json }, output);
  });
}

/** Ends a retry. */
export function cancel(
  operationId: string,
  { json, why, by, sent }: { json?: boolean; why?: string; by?: string; sent?: boolean },
  { say }: Output,
): Promise<void> {
  return withStore(async (store) => {
    const before = await findOperation(store, operationId);
    if (before?.kind !== 'retry')
      throw new Error(`There is no retry ${operationId}: "chodang failed history" shows all operations.`);
    const canceled = await endRetry(store, operationId, {
      state: 'canceled',
      who: by ?? whoAmI(),
      why,
      sentToo: sent,
    });
    const now = (await findOperation(store, operationId)) ?? before;
    if (json) return say(JSON.stringify(now));
    say(
      canceled
        ? `Operation ${operationId} is canceled. ${itemsTold(now.items)}; what was not sent is open again.`
        : `Operation ${operationId} had ended already: ${now.state}. ${itemsTold(now.items)}.`,
    );
  });
}
