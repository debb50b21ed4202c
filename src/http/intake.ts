import { createHash } from 'node:crypto';
import { InfrastructureError } from '../pipeline/errors.ts';
import type { NoticeHeader, NoticeOrder, ReasonCode, ShipDate } from '../rules/notice.ts';
import { noticesOfKeys, tryIdempotencyLocks } from '../store/idempotency.ts';
import { type IntakeChunk, insertChunks } from '../store/intake.ts';
import { insertNotices, type NewNotice } from '../store/notices.ts';
import { type Log, type Store, type Tx, transaction } from '../store/store.ts';
import { createGroups } from './groups.ts';
import { newNoticeId } from './noticeId.ts';
import { Problem } from './problem.ts';
import { createPublishing, type Publisher } from './publishing.ts';

/** How notices may travel. Another variant of the switch is treated like its fallback. */
const paths: readonly string[] = ['legacy', 'actors'];

/** How many notices, and orders, go into the database at once. */
const groupLimits = { maxItems: 500, maxSize: 5_000 };
/** How many such transactions of a lane run at once. For small notices more make smaller groups, and each costs the steps a batch. */
const inFlight = { small: 1, large: 3 };

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

/** A notice on its way into the database. */
type Posted = NewNotice & { chunks: readonly IntakeChunk[] };

export function createIntake(options: IntakeOptions): Intake {
  const { store, publisher, log, chunkSize = 500, retryAfterSeconds = 5 } = options;
  const publishing = createPublishing({ store, publisher, log, chunkSize });
  // Each lane has its own: a small notice must not wait until a large one is stored.
  const groups = new Map(
    Object.entries(options.lanes).map(([lane, { maxOrders }]) => [
      lane,
      createGroups<Posted, AcceptedNotice>({
        run: write,
        sizeOf: ({ orders }) => orders,
        ...groupLimits,
        inFlight: maxOrders === undefined ? inFlight.large : inFlight.small,
      }),
    ]),
  );

  /** Idempotency keys of what this process takes in right now; what others do, Postgres's locks tell. */
  const underWay = new Set<string>();

  /** Writes notices in one transaction; should one of them be refused by Postgres, each in one of its own. */
  async function write(notices: readonly Posted[]): Promise<(AcceptedNotice | Error)[]> {
    let committing = false;
    try {
      const answers = await transaction(store, async (tx) => {
        committing = false;
        const others = await answersInstead(tx, notices);
        const taken = notices.filter((_, at) => others[at] === undefined);
        await Promise.all([insertNotices(tx, taken), insertChunks(tx, taken)]);
        committing = true;
        return notices.map((notice, at) => others[at] ?? notice);
      });
      const taken = notices.filter((notice, at) => answers[at] === notice && notice.path === 'actors');
      void publishing.publish(taken.flatMap(({ chunks }) => chunks));
      return answers;
    } catch (error) {
      if (error instanceof InfrastructureError && committing)
        throw new Problem('outcome-unknown', 'The connection to our database broke during the commit.', {
          cause: error,
        });
      if (error instanceof InfrastructureError || notices.length === 1) throw error;
      const alone = await Promise.allSettled(notices.map((notice) => write([notice])));
      return alone.map((each) =>
        each.status === 'fulfilled' ? (each.value[0] as AcceptedNotice) : each.reason,
      );
    }
  }

  /** What is to be answered instead of taking a notice in; undefined for those that are taken in. */
  async function answersInstead(
    tx: Tx,
    notices: readonly Posted[],
  ): Promise<(AcceptedNotice | Problem | undefined)[]> {
    const answers = await earlierAnswers(tx, notices);
    const readiness = publisher.hasRoom();
    if (readiness.ok) return answers;
    const refusal = new Problem(
      'unavailable',
      'Notices cannot be passed on right now, so this one was not taken.',
      { headers: { 'retry-after': String(retryAfterSeconds) }, cause: new Error(readiness.why) },
    );
    return notices.map(({ path }, at) => answers[at] ?? (path === 'actors' ? refusal : undefined));
  }

  return {
    accept(request) {
      const key = keyOf(request);
      return key === undefined ? accept(request) : acceptOnce(key, request);
    },
    drained: () => publishing.drained(),
  };

  async function acceptOnce(key: string, request: NoticeRequest): Promise<AcceptedNotice> {
    if (underWay.has(key)) throw stillRunning();
    underWay.add(key);
    try {
      return await accept(request);
    } finally {
      underWay.delete(key);
    }
  }

  async function accept(request: NoticeRequest): Promise<AcceptedNotice> {
    const notice = noticeFrom(request, options, chunkSize);
    const group = groups.get(notice.lane);
    if (group === undefined) throw new Error(`There is no lane ${notice.lane}.`);
    const { noticeId, path, orders, duplicates } = await group.add(notice);
    if (noticeId === notice.noticeId) {
      const { sellerId, lane } = notice;
      log.info({ noticeId, sellerId, path, lane, orders, duplicates }, 'notice accepted');
    }
    return { noticeId, path, orders, duplicates };
  }
}

/** Names an idempotency key; undefined if the request has none. */
const keyOf = ({ sellerId, idempotencyKey }: Pick<NoticeRequest, 'sellerId' | 'idempotencyKey'>) =>
  idempotencyKey === undefined ? undefined : JSON.stringify([sellerId, idempotencyKey]);

const stillRunning = () =>
  new Problem('still-running', 'The first request with this Idempotency-Key has no answer yet.', {
    headers: { 'retry-after': '1' },
  });

const distinct = (orderIds: readonly string[]) => (orderIds.length === 1 ? orderIds : [...new Set(orderIds)]);

/**
 * Gives a request its id, path and lane, for life, and writes its orders, each once, as they travel. All fields are written
 * out: objects that spread others into them take V8 far longer.
 */
function noticeFrom(request: NoticeRequest, options: IntakeOptions, chunkSize: number): Posted {
  const { sellerId, reason, detail, newShipDate, idempotencyKey, traceparent } = request;
  const orderIds = distinct(request.orderIds);
  const orders = orderIds.length;
  const noticeId = newNoticeId();
  const { path, switchVersion } = choosePath(options, sellerId, noticeId);
  const lane = laneFor(options.lanes, orders);
  const header = { noticeId, sellerId, path, reason, detail, newShipDate, traceparent };
  return {
    noticeId,
    sellerId,
    path,
    switchVersion,
    lane,
    reason,
    detail,
    newShipDate,
    orders,
    duplicates: request.orderIds.length - orders,
    idempotencyKey,
    bodyHash: idempotencyKey === undefined ? undefined : hashOf(request),
    chunks: chunksOf({ header, lane, orderIds }, chunkSize),
  };
}

/** Reads the switch, once for the whole life of the notice. */
export function choosePath(options: IntakeOptions, sellerId: string, noticeId: string) {
  const { variant, version } = options.evaluate('delay-notice-path', { sellerId, noticeId });
  if (paths.includes(variant)) return { path: variant, switchVersion: version };
  const { fallbackPath: path, log } = options;
  log.warn(
    { noticeId, sellerId, variant, path },
    'delay-notice-path gave a variant that is no path; fallback',
  );
  return { path, switchVersion: version };
}

/** Names the lane in which a notice of so many orders travels. */
export function laneFor(lanes: IntakeOptions['lanes'], orders: number): string {
  for (const lane in lanes) if ((lanes[lane]?.maxOrders ?? orders) >= orders) return lane;
  throw new Error(
    `No lane takes ${orders} orders (lanes: ${Object.keys(lanes).join(', ')}). Leave maxOrders out of the last one.`,
  );
}

/** Writes the orders of a notice as they travel. */
function chunksOf(
  { header, lane, orderIds }: { header: WrittenHeader; lane: string; orderIds: readonly string[] },
  chunkSize: number,
): IntakeChunk[] {
  const { noticeId } = header;
  const chunks: IntakeChunk[] = [];
  for (let at = 0; at < orderIds.length; at += chunkSize) {
    const items = orderIds.slice(at, at + chunkSize).map((orderId): NoticeOrder => ({ orderId }));
    const chunk = JSON.stringify({ header, items });
    chunks.push({ noticeId, chunkNo: chunks.length, lane, chunk, orders: items.length });
  }
  return chunks;
}

/** A header before it is JSON, which leaves out what is undefined. */
type WrittenHeader = Record<keyof NoticeHeader, string | undefined> & Pick<NoticeHeader, 'noticeId'>;

/**
 * Answers notices that were posted with the same idempotency key before; undefined for those that were not, or have
 * none. From here on the transaction holds the keys' locks.
 */
async function earlierAnswers(
  tx: Tx,
  notices: readonly Posted[],
): Promise<(AcceptedNotice | Problem | undefined)[]> {
  const answers = notices.map((): AcceptedNotice | Problem | undefined => undefined);
  const keyed = notices.flatMap(({ sellerId, idempotencyKey, bodyHash }, at) =>
    idempotencyKey === undefined || bodyHash === undefined
      ? []
      : [{ at, sellerId, idempotencyKey, bodyHash }],
  );
  if (keyed.length === 0) return answers;
  const locked = await tryIdempotencyLocks(tx, keyed);
  const earlier = await noticesOfKeys(tx, keyed);
  keyed.forEach(({ at, bodyHash }, i) => {
    const before = earlier[i];
    if (locked[i] !== true) answers[at] = stillRunning();
    else if (before !== undefined)
      answers[at] = before.bodyHash.equals(bodyHash)
        ? before
        : new Problem(
            'idempotency-key-reused',
            `The notice ${before.noticeId} was posted with this Idempotency-Key and another body. Send a new key for a new notice.`,
          );
  });
  return answers;
}

/** SHA-256 of what the request says, however its JSON was spaced and ordered. */
function hashOf({ reason, detail, newShipDate, orderIds }: NoticeRequest): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([reason, detail ?? null, newShipDate, orderIds]))
    .digest();
}
