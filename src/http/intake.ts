import { createHash } from 'node:crypto';
import { v7 } from 'uuid';
import { InfrastructureError } from '../pipeline/errors.ts';
import type { NoticeHeader, NoticeOrder, ReasonCode, ShipDate } from '../rules/notice.ts';
import { type IntakeChunk, insertChunks, tryIdempotencyLock } from '../store/intake.ts';
import { insertNotice, type NewNotice, noticeOfKey } from '../store/notices.ts';
import { type Log, type Store, type Tx, transaction } from '../store/store.ts';
import { Problem } from './problem.ts';
import { createPublishing, type Publisher } from './publishing.ts';

/** How notices may travel. Another variant of the switch is treated like its fallback. */
const paths: readonly string[] = ['legacy', 'actors'];

export interface IntakeOptions {
  store: Store;
  publisher: Publisher;
  log: Log;
  /** Asks a switch; see `Switches.evaluate`. */
  evaluate(
    switchName: 'delay-notice-path',
    context: { sellerId: string; noticeId: string },
  ): { readonly variant: string; readonly version: number | null };
  /** The path of a notice whose variant is no path of ours: `legacy` or `actors`. */
  fallbackPath: string;
  /** By name, in order: a notice travels in the first lane that takes so many orders. */
  lanes: Readonly<Record<string, { readonly maxOrders?: number | undefined }>>;
  /** Orders in a chunk, at most; default 500. */
  chunkSize?: number;
  /** What a 503 tells the seller to wait, in seconds; default 5. */
  retryAfterSeconds?: number;
}

/** A notice as a seller posted it, checked. */
export interface NoticeRequest {
  sellerId: string;
  reason: ReasonCode;
  detail?: string | undefined;
  newShipDate: ShipDate;
  /** As they came, repeats and all. */
  orderIds: readonly string[];
  idempotencyKey?: string | undefined;
  /** W3C trace context of the request. */
  traceparent?: string | undefined;
}

export interface AcceptedNotice {
  noticeId: string;
  path: string;
  orders: number;
  duplicates: number;
}

export interface Intake {
  /**
   * Stores a notice with its orders, in one transaction, and returns once that is committed; publishing
   * goes on in the background. A request repeated with its idempotency key gets the first one's answer.
   *
   * Throws the problems `unavailable` (nothing was stored), `still-running`, `idempotency-key-reused` and
   * `outcome-unknown` (the connection broke during the commit); an `InfrastructureError` if Postgres can't
   * be had, before the commit.
   */
  accept(request: NoticeRequest): Promise<AcceptedNotice>;
  /** Resolves when all that was accepted has been published, or left to the sweep. */
  drained(): Promise<void>;
}

export function createIntake(options: IntakeOptions): Intake {
  const { store, publisher, log, chunkSize = 500, retryAfterSeconds = 5 } = options;
  const publishing = createPublishing({ store, publisher, log });

  const requireReady = () => {
    const readiness = publisher.ready();
    if (readiness.ok) return;
    log.warn({ why: readiness.why }, 'a notice was refused: it could not be published');
    throw new Problem('unavailable', 'Notices cannot be passed on right now, so this one was not taken.', {
      headers: { 'retry-after': String(retryAfterSeconds) },
    });
  };

  const accept = async (request: NoticeRequest): Promise<AcceptedNotice> => {
    const notice = noticeFrom(request, options);
    const chunks = chunksOf(notice, request, chunkSize);
    let committing = false;
    const write = async (tx: Tx): Promise<AcceptedNotice> => {
      committing = false;
      const earlier = await earlierNotice(tx, notice);
      if (earlier !== undefined) return earlier;
      if (notice.path === 'actors') requireReady();
      await insertNotice(tx, notice);
      await insertChunks(tx, notice, chunks);
      committing = true;
      return notice;
    };
    const { noticeId, path, orders, duplicates } = await transaction(store, write).catch((error: unknown) => {
      if (!committing || !(error instanceof InfrastructureError)) throw error;
      throw new Problem('outcome-unknown', 'The connection to our database broke during the commit.', {
        cause: error,
      });
    });
    if (noticeId === notice.noticeId) {
      const { sellerId, lane } = notice;
      log.info({ noticeId, sellerId, path, lane, orders, duplicates }, 'notice accepted');
      if (path === 'actors') void publishing.publish(chunks);
    }
    return { noticeId, path, orders, duplicates };
  };

  return { accept, drained: () => publishing.drained() };
}

/** Gives a request its id, path and lane, for life. */
function noticeFrom(request: NoticeRequest, options: IntakeOptions): NewNotice {
  const { sellerId, reason, detail, newShipDate, idempotencyKey } = request;
  const noticeId = v7();
  const orders = new Set(request.orderIds).size;
  return {
    noticeId,
    sellerId,
    ...choosePath(options, sellerId, noticeId),
    lane: laneFor(options.lanes, orders),
    reason,
    detail,
    newShipDate,
    orders,
    duplicates: request.orderIds.length - orders,
    idempotencyKey,
    bodyHash: idempotencyKey === undefined ? undefined : hashOf(request),
  };
}

/** Reads the switch, once for the whole life of the notice. */
function choosePath(options: IntakeOptions, sellerId: string, noticeId: string) {
  const { variant, version } = options.evaluate('delay-notice-path', { sellerId, noticeId });
  if (paths.includes(variant)) return { path: variant, switchVersion: version };
  const { fallbackPath: path, log } = options;
  log.warn(
    { noticeId, sellerId, variant, path },
    'delay-notice-path gave a variant that is no path; fallback',
  );
  return { path, switchVersion: version };
}

function laneFor(lanes: IntakeOptions['lanes'], orders: number): string {
  for (const [lane, { maxOrders }] of Object.entries(lanes))
    if (maxOrders === undefined || maxOrders >= orders) return lane;
  throw new Error(
    `No lane takes ${orders} orders (lanes: ${Object.keys(lanes).join(', ')}). Leave maxOrders out of the last one.`,
  );
}

function chunksOf(notice: NewNotice, request: NoticeRequest, chunkSize: number): IntakeChunk[] {
  const { noticeId, sellerId, path, lane, reason, detail, newShipDate } = notice;
  const { traceparent } = request;
  const header: NoticeHeader = {
    noticeId,
    sellerId,
    path,
    reason,
    ...(detail === undefined ? {} : { detail }),
    newShipDate,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  const items = Array.from(new Set(request.orderIds), (orderId): NoticeOrder => ({ orderId }));
  const chunks: IntakeChunk[] = [];
  for (let at = 0; at < items.length; at += chunkSize) {
    const chunk = JSON.stringify({ header, items: items.slice(at, at + chunkSize) });
    chunks.push({ noticeId, chunkNo: chunks.length, lane, chunk });
  }
  return chunks;
}

/**
 * Finds the notice that was posted with the same idempotency key before; undefined if there is none, or no key.
 * From here on the transaction holds the key's lock.
 */
async function earlierNotice(
  tx: Tx,
  { sellerId, idempotencyKey, bodyHash }: NewNotice,
): Promise<AcceptedNotice | undefined> {
  if (idempotencyKey === undefined || bodyHash === undefined) return undefined;
  if (!(await tryIdempotencyLock(tx, sellerId, idempotencyKey)))
    throw new Problem('still-running', 'The first request with this Idempotency-Key has no answer yet.', {
      headers: { 'retry-after': '1' },
    });
  const earlier = await noticeOfKey(tx, sellerId, idempotencyKey);
  if (earlier === undefined || earlier.bodyHash.equals(bodyHash)) return earlier;
  throw new Problem(
    'idempotency-key-reused',
    `The notice ${earlier.noticeId} was posted with this Idempotency-Key and another body. Send a new key for a new notice.`,
  );
}

/** SHA-256 of what the request says, however its JSON was spaced and ordered. */
function hashOf({ reason, detail, newShipDate, orderIds }: NoticeRequest): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([reason, detail ?? null, newShipDate, orderIds]))
    .digest();
}
