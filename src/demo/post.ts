import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiAway, postNotice, RefusedByApi } from '../http/client.ts';
import type { AcceptedNotice } from '../http/intake.ts';
import type { NoticeToPost } from '../import/generated.ts';

/** Requests under way at once. */
const parallel = 8;
/** For how long one notice is sent again while the API can't take it, in ms. */
const patienceMs = 60_000;

export interface PostOptions {
  url: string;
  /** By seller. */
  apiKeys: ReadonlyMap<string, string>;
  signal: AbortSignal;
  /** Is told of each notice that was accepted. */
  onAccepted: (accepted: AcceptedNotice) => void;
}

/**
 * Posts notices, a few at once, each with its seller's API key and an idempotency key of its own.
 *
 * What the API can't take right now is sent again with the same idempotency key. Throws at the first that is refused.
 */
export async function postAll(
  notices: readonly NoticeToPost[],
  options: PostOptions,
): Promise<AcceptedNotice[]> {
  const accepted: AcceptedNotice[] = [];
  const waiting = [...notices.entries()];
  const postWaiting = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [at, notice] = next;
      try {
        options.signal.throwIfAborted();
        const answer = await postUntilTaken(notice, options);
        accepted[at] = answer;
        options.onAccepted(answer);
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, postWaiting));
  return accepted;
}

async function postUntilTaken(
  notice: NoticeToPost,
  { url, apiKeys, signal }: PostOptions,
): Promise<AcceptedNotice> {
  const { sellerId, ...body } = notice;
  const idempotencyKey = randomUUID();
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      return await postNotice({ url, apiKey: apiKeys.get(sellerId) ?? '', idempotencyKey }, body);
    } catch (error) {
      const again =
        error instanceof ApiAway || (error instanceof RefusedByApi && error.retryAfterSeconds !== undefined);
      if (!again || performance.now() > giveUpAt) throw error;
      const seconds = error instanceof RefusedByApi ? (error.retryAfterSeconds ?? 1) : 1;
      await sleep(seconds * 1_000, undefined, { signal });
    }
  }
}
