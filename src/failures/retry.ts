import type { ShipDate } from '../rules/notice.ts';
import { type Choice, choose, type Left, OperationRefused, tellLeft } from '../store/failureChoice.ts';
import { type Begun, type By, beginRetry, type RetryOptions } from '../store/failureOperations.ts';
import { type RecordedFailure, readFailures } from '../store/failures.ts';
import { noticesOfIds } from '../store/noticeOrders.ts';
import type { Sql, Store } from '../store/store.ts';
import { chunksOf } from './check.ts';
import { checkEdited } from './edit.ts';
import { type Foreseen, type ForeseeOptions, foresee } from './foresee.ts';

/** What the configuration says that matters to a retry. */
export interface RetrySettings {
  /** The names of the steps. */
  steps: readonly string[];
  limits: ForeseeOptions['limits'];
  /** The day it is for the shop. */
  today: () => ShipDate;
}

/** What somebody wants to be retried, and how. */
export interface RetryRequest {
  by: By;
  choice: Choice;
  options: RetryOptions;
}

/** What is used where nothing else is asked for: one first, then a hundred a second, until five have failed again. */
export const usualRetry: RetryOptions = { canary: 1, ratePerSecond: 100, stopAfter: 5, path: null };

/**
 * Begins to retry failures, those that are open now.
 *
 * Throws `OperationRefused`, and changes nothing, if none is open, if their step is no more, or if they are to go to
 * the legacy run and one of them can't be read.
 */
export async function retryFailures(
  store: Store,
  { steps }: Pick<RetrySettings, 'steps'>,
  { by, choice, options }: RetryRequest,
): Promise<Begun> {
  const { open, steps: found } = await choose(store, choice);
  const unknown = found.filter((step) => step !== 'legacy' && !steps.includes(step));
  if (unknown.length > 0 && options.path === null)
    throw new OperationRefused(
      `There is no step ${unknown.join(', ')} any more (steps: ${steps.join(', ')}): hand them to the legacy run (path legacy), or discard them.`,
    );
  if (options.path === 'legacy' || found.includes('legacy'))
    for await (const page of readFailures(store, open))
      await checkForLegacy(
        store,
        page.filter(({ step }) => options.path === 'legacy' || step === 'legacy'),
      );
  return beginRetry(store, { by, choice, options });
}

/** The legacy run takes chunks of notices, not whatever a queue may hold. */
async function checkForLegacy(db: Sql, failures: readonly RecordedFailure[]): Promise<void> {
  const chunks = failures.flatMap(({ failureId, step, type, body }) => {
    try {
      return chunksOf(step, body, type ?? undefined).map(({ header }) => ({ failureId, header }));
    } catch (error) {
      throw new OperationRefused(
        `Failure ${failureId} can't be handed to the legacy run: ${(error as Error).message}. "chodang failed edit ${failureId}" mends it.`,
      );
    }
  });
  const notices = await noticesOfIds(
    db,
    chunks.map(({ header }) => header.noticeId),
  );
  for (const { failureId, header } of chunks)
    if (notices.get(header.noticeId)?.sellerId !== header.sellerId)
      throw new OperationRefused(
        `Failure ${failureId} can't be handed to the legacy run: seller ${header.sellerId} has no notice ${header.noticeId}.`,
      );
}

/**
 * Tells what `retryFailures` would do, for each failure that is chosen, a page at a time; nothing is changed.
 */
export async function* foreseeRetry(
  db: Store,
  { limits, today }: Pick<RetrySettings, 'limits' | 'today'>,
  { choice, path }: { choice: Choice; path: 'legacy' | null },
): AsyncGenerator<Foreseen[]> {
  const { open, left } = await choose(db, choice);
  if (left.length > 0) yield left.map(skipped);
  for await (const failures of readFailures(db, open))
    yield await foresee(db, failures, { limits, today: today(), path });
}

const skipped = (left: Left): Foreseen => ({
  failureId: left.failureId,
  step: '',
  lane: '',
  would: 'skip',
  why: tellLeft(left),
  goOn: 0,
  settled: 0,
  rejected: {},
});

/**
 * Retries one failure with a message that somebody edited; what came stays as it is, beside it.
 *
 * Throws `OperationRefused` if the edited message can't be sent (see `checkEdited`), or the failure isn't open.
 */
export async function retryEdited(
  store: Store,
  settings: Pick<RetrySettings, 'steps'>,
  { by, failure, edited }: { by: By; failure: RecordedFailure; edited: string },
): Promise<Begun> {
  const body = await checkEdited(store, failure, edited);
  if (failure.step !== 'legacy' && !settings.steps.includes(failure.step))
    throw new OperationRefused(`There is no step ${failure.step} any more.`);
  const options: RetryOptions = { ...usualRetry, canary: 0 };
  return beginRetry(store, { by, choice: { failureIds: [failure.failureId] }, options, body });
}
