import { parseRetryName } from '../failures/retryName.ts';
import { InfrastructureError } from '../pipeline/errors.ts';
import type { FailedMessage } from '../pipeline/failed.ts';
import { Culprit, halve } from '../pipeline/halve.ts';
import { failedOrdersOf } from '../rules/salvage.ts';
import { type Failure, recordFailures } from '../store/failures.ts';
import type { Log, Store } from '../store/store.ts';

/**
 * Keeps what the steps gave up: each message goes into Postgres and its orders become `failed`, so that every
 * notice settles; each is one line in the log and one count.
 *
 * Safe to run twice with the same messages. Throws `InfrastructureError` while Postgres is away.
 */
export default function failures(services: {
  store: Store;
  log: Log;
  /** Told of each that was recorded; `failedAgain` of what a retry had brought back. */
  recorded: (step: string, errorClass: string, failedAgain: boolean) => void;
  /** See `recordFailures`. */
  threshold?: number | undefined;
}): (messages: readonly FailedMessage[]) => Promise<void> {
  return async (messages) => {
    const all = messages.map((message) => ({
      ...message,
      retryOf: parseRetryName(message.retry),
      orders: failedOrdersOf(message.content),
    }));
    await record(services.store, all, services);
    for (const { step, lane, messageId, errorClass, errorMessage, attempt, orders, retryOf } of all) {
      services.recorded(step, errorClass, retryOf !== undefined);
      const noticeIds = [...new Set(orders.map(({ noticeId }) => noticeId))].slice(0, 10);
      services.log.error(
        { step, lane, messageId, errorClass, errorMessage, attempt, orders: orders.length, noticeIds },
        'a message failed; see `chodang failed list`',
      );
    }
  };
}

/**
 * Records failures, and where one of them can't be (an order id that no index takes, say), that one without its
 * orders: the messages behind it must not wait for it for ever.
 */
async function record(
  store: Store,
  all: readonly Failure[],
  options: { threshold?: number | undefined },
): Promise<void> {
  const run = async (some: readonly Failure[]) => {
    await recordFailures(store, some, options);
    return some.map(() => undefined);
  };
  const results = await halve(all, run, (error) => !(error instanceof InfrastructureError));
  const culprits = all.filter((_, at) => results[at] instanceof Culprit);
  await recordFailures(
    store,
    culprits.map((failure) => ({ ...failure, orders: [] })),
    options,
  );
}
