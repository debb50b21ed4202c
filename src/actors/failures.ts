import type { FailedMessage } from '../pipeline/failed.ts';
import { parseChunk } from '../rules/message.ts';
import { wantedDelay } from '../rules/notice.ts';
import { type FailedOrder, recordFailures } from '../store/failures.ts';
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
  recorded: (step: string, errorClass: string) => void;
}): (messages: readonly FailedMessage[]) => Promise<void> {
  return async (messages) => {
    const all = messages.map((message) => ({ ...message, orders: ordersOf(message.content) }));
    await recordFailures(services.store, all);
    for (const { step, lane, messageId, errorClass, errorMessage, attempt, orders } of all) {
      services.recorded(step, errorClass);
      const noticeIds = [...new Set(orders.map(({ noticeId }) => noticeId))].slice(0, 10);
      services.log.error(
        { step, lane, messageId, errorClass, errorMessage, attempt, orders: orders.length, noticeIds },
        'a message failed; see `chodang failed list`',
      );
    }
  };
}

/** Reads whose orders a message holds, as far as it can be read: that it can't may be why it failed. */
function ordersOf(content: Buffer): FailedOrder[] {
  const message = orUndefined(() => JSON.parse(content.toString('utf8')) as { chunks?: unknown } | null);
  const chunks = Array.isArray(message?.chunks) ? (message.chunks as unknown[]) : [];
  return chunks.flatMap((chunk) => {
    const read = orUndefined(() => parseChunk(chunk));
    return read ? read.items.map((item) => wantedDelay(read.header, item)) : [];
  });
}

function orUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
