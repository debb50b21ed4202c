import { feedStep } from '../config/topology.ts';
import { record } from '../failures/record.ts';
import { parseRetryName } from '../failures/retryName.ts';
import type { FailedMessage } from '../pipeline/failed.ts';
import { headerNames } from '../pipeline/message.ts';
import { failedOrdersOf } from '../rules/salvage.ts';
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
      headers: withoutError(message),
      retryOf: parseRetryName(message.retry),
      // Events of the feed are of no notice, and the shop decides how long a list of them is: they need not be read.
      orders: message.step === feedStep ? [] : failedOrdersOf(message.content),
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

/** The headers but for the error's: those are columns of their own, and most of what there is to keep. */
function withoutError(message: FailedMessage): Record<string, unknown> {
  const own: Record<string, unknown> = {
    [headerNames.errorClass]: message.errorClass,
    [headerNames.errorMessage]: message.errorMessage,
    [headerNames.errorStack]: message.errorStack,
  };
  return Object.fromEntries(Object.entries(message.headers).filter(([name, value]) => own[name] !== value));
}
