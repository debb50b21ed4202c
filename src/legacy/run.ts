import { createHash } from 'node:crypto';
import { record } from '../failures/record.ts';
import { parseRetryName } from '../failures/retryName.ts';
import { NotSentError, notify } from '../notify.ts';
import { InfrastructureError } from '../pipeline/errors.ts';
import { markHeaders } from '../pipeline/message.ts';
import { type NoticeChunk, parseChunk } from '../rules/message.ts';
import { type NoticeHeader, type NoticeOrder, wantedDelay } from '../rules/notice.ts';
import { failedOrdersOf } from '../rules/salvage.ts';
import type { Services } from '../services.ts';
import { delayOrders } from '../store/delay.ts';
import type { Failure } from '../store/failures.ts';
import {
  countLegacyAttempt,
  finishLegacyChunk,
  type LegacyChunk,
  nextLegacyChunk,
} from '../store/legacyChunks.ts';
import { withLock } from '../store/lock.ts';

export interface LegacyRunOptions {
  services: Services;
  /** In how many runs an order may fail by its own fault until it is given up and recorded in `failures`. */
  maxAttempts: number;
  /** See `recordFailures`. */
  threshold?: number | undefined;
  /** Ends the run after the order it is at. */
  signal: AbortSignal;
}

/** An order that could not be settled, and why. */
interface FailedItem {
  item: NoticeOrder;
  error: Error;
}

/**
 * Runs the old way once: takes what waits on path `legacy`, oldest first, and settles one order after another.
 *
 * Only one process at a time: returns at once, and false, where another is at it. Throws an
 * `InfrastructureError` if Postgres or the gateway is away: the run ends there, the next one goes on with the
 * same order. Every order's ledger row is read first, so a run that is cut off anywhere repeats nothing.
 */
export async function runLegacy(options: LegacyRunOptions): Promise<boolean> {
  const { store } = options.services;
  return withLock(store, 'legacy-run', async (lost) => {
    const signal = AbortSignal.any([options.signal, lost]);
    let chunk = await nextLegacyChunk(store);
    while (chunk && !signal.aborted) {
      await runChunk({ ...options, signal }, chunk);
      chunk = await nextLegacyChunk(store, chunk);
    }
  });
}

async function runChunk(options: LegacyRunOptions, chunk: LegacyChunk): Promise<void> {
  const { services, maxAttempts, signal, threshold } = options;
  const { store, log } = services;
  let parsed: NoticeChunk;
  try {
    parsed = parseChunk(JSON.parse(chunk.chunk));
  } catch (error) {
    log.error({ err: error, step: 'legacy', noticeId: chunk.noticeId }, 'a chunk can not be read: given up');
    const body = `{"chunks":[${chunk.chunk}]}`;
    const orders = failedOrdersOf(Buffer.from(body));
    await record(store, [failureOf(services, chunk, error as Error, 'unreadable', body, orders)], {
      threshold,
    });
    return finishLegacyChunk(store, chunk);
  }
  const { header, items } = parsed;
  const failed: FailedItem[] = [];
  for (const item of items) {
    if (signal.aborted) return;
    try {
      await settle(services, header, item);
    } catch (error) {
      if (error instanceof InfrastructureError) throw error;
      failed.push({ item, error: error as Error });
    }
  }
  const attempt = chunk.attempts + 1;
  for (const { item, error } of failed) {
    const fields = { err: error, step: 'legacy', noticeId: header.noticeId, orderId: item.orderId, attempt };
    if (attempt < maxAttempts) log.warn(fields, 'an order failed, and is tried again in the next run');
    else log.error(fields, 'an order failed, and is given up');
  }
  if (failed.length > 0 && attempt < maxAttempts) return countLegacyAttempt(store, chunk);
  await record(
    store,
    failed.map(({ item, error }) => {
      const body = JSON.stringify({ chunks: [{ header, items: [item] }] });
      return failureOf(services, chunk, error, nameOf(item.orderId), body, [wantedDelay(header, item)]);
    }),
    { threshold },
  );
  return finishLegacyChunk(store, chunk);
}

/** Validates, updates, sends: one order. Throws why it could not be settled now. */
async function settle(services: Services, header: NoticeHeader, item: NoticeOrder): Promise<void> {
  const { store, today, limits } = services;
  const [outcome] = await delayOrders(store, [wantedDelay(header, item)], today(), limits);
  if (outcome !== 'delayed') return;
  // `redelivered`: a run before may have been cut off while sending this one.
  const [answer] = await notify(services, [{ header, item, attempt: 1, redelivered: true }]);
  if (answer && 'error' in answer) throw answer.error;
}

/** Names an order in the id of its failure. An index takes no key that is longer than a third of a page. */
const nameOf = (orderId: string) =>
  orderId.length <= 200 ? orderId : createHash('sha256').update(orderId).digest('hex');

function failureOf(
  services: Services,
  chunk: LegacyChunk,
  error: Error,
  name: string,
  body: string,
  orders: Failure['orders'],
): Failure {
  return {
    step: 'legacy',
    lane: chunk.lane,
    // Each life of an order here is a chunk of its own, also when it is handed over again.
    messageId: `${chunk.noticeId}:${chunk.chunkNo}:${name}`,
    errorClass: error.name,
    errorMessage: error.message,
    errorStack: error.stack,
    attempt: chunk.attempts + 1,
    failedAt: services.now(),
    // A run before may have been cut off while sending: only what was surely not sent is surely not told.
    headers: markHeaders({ retry: chunk.retry ?? undefined, redelivered: !(error instanceof NotSentError) }),
    retryOf: parseRetryName(chunk.retry),
    content: Buffer.from(body),
    orders,
  };
}
