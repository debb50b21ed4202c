import { kindOf } from '../failures/fingerprint.ts';
import type { RetryName } from '../failures/retryName.ts';
import type { ShipDate } from '../rules/notice.ts';
import { column, isStorable, type OrderKey } from './batch.ts';
import { countInGroups, type FailureState, lockGroups, settleGroups } from './failureGroups.ts';
import type { FailureIds } from './failureIds.ts';
import { failAgain } from './failureItems.ts';
import { bytesBefore, pageBytes } from './page.ts';
import { storable, storableJson } from './storable.ts';
import { type Sql, type Store, transaction } from './store.ts';

/** A message that a step gave up, or an order that the legacy run did. */
export interface Failure {
  step: string;
  lane: string;
  /** The type it was published with, if it had one. */
  type?: string | undefined;
  /** Unique for the step: a failure that is recorded again under the same id changes nothing. */
  messageId: string;
  errorClass: string;
  errorMessage: string;
  errorStack: string | undefined;
  attempt: number;
  /** When the message was published that failed in the end; undefined if nobody knows. */
  publishedAt?: Date | undefined;
  failedAt: Date;
  headers: Record<string, unknown>;
  /** Byte for byte as it came, JSON or not. */
  content: Buffer;
  /** The retry that failed with this; undefined for what failed for the first time. */
  retryOf?: RetryName | undefined;
  /** What the message holds, as far as it could be read. */
  orders: readonly FailedOrder[];
}

export interface FailedOrder extends OrderKey {
  newShipDate: ShipDate;
}

/** A failure as it is listed: all but the message itself. */
export interface ListedFailure {
  failureId: string;
  state: FailureState;
  /** Since when it has that state. */
  stateAt: Date;
  /** The operation that has it in hand, or had it last; null if nobody did anything about it. */
  operationId: string | null;
  /** The failure whose retry failed with this one. */
  retryOf: string | null;
  step: string;
  lane: string;
  /** The message's type; null if it had none, or it was not kept yet. */
  type: string | null;
  messageId: string;
  errorClass: string;
  errorMessage: string;
  attempt: number;
  publishedAt: Date | null;
  failedAt: Date;
  recordedAt: Date;
  noticeIds: string[];
  sellerIds: string[];
  orders: number;
  /** Null where it was recorded before there were groups. */
  groupId: string | null;
}

/** A failure with its message. */
export interface RecordedFailure extends ListedFailure {
  errorStack: string | null;
  headers: Record<string, unknown>;
  body: Buffer;
}

/**
 * Keeps failures for people to look at and retry, counts them in their groups, and sets their orders to `failed`, in
 * one transaction. What a retry brought back closes the failure that it was made of: this one has its place now.
 *
 * Safe to do twice: a failure that is there already (same step and message id) is left alone with its orders,
 * which a retry may have taken up since. In the ledger `failed` goes over no row and over `delayed` only, and
 * `failed_from` keeps which. Whatever bytes a failure holds can be kept: what Postgres takes in no text (NUL,
 * half a surrogate pair) becomes U+FFFD, and an order whose id holds one can't have a ledger row.
 *
 * `threshold`: developers are alerted when a group has so many open failures, and again at ten times as many.
 */
export async function recordFailures(
  store: Store,
  failures: readonly Failure[],
  { threshold }: { threshold?: number | undefined } = {},
): Promise<void> {
  if (failures.length === 0) return;
  const all = failures.map((failure) => ({
    ...failure,
    ...kindOf(failure),
    step: storable(failure.step),
    messageId: storable(failure.messageId),
    noticeIds: distinct(failure.orders.map(({ noticeId }) => noticeId)),
    sellerIds: distinct(failure.orders.map(({ sellerId }) => storable(sellerId))),
  }));
  await transaction(store, async (tx) => {
    const groups = await lockGroups(
      tx,
      all,
      all.flatMap(({ retryOf }) => (retryOf ? [retryOf.failureId] : [])),
    );
    const rows = await tx.rows<[step: string, messageId: string, failureId: string]>(insertFailures, [
      column(all, ({ step }) => step),
      column(all, ({ messageId }) => messageId),
      storable(column(all, ({ lane }) => lane)),
      storable(column(all, ({ type }) => type)),
      storable(column(all, ({ errorClass }) => errorClass)),
      storable(column(all, ({ errorMessage }) => errorMessage)),
      storable(column(all, ({ errorStack }) => errorStack)),
      column(all, ({ attempt }) => attempt),
      column(all, ({ publishedAt }) => publishedAt?.toISOString()),
      column(all, ({ failedAt }) => failedAt.toISOString()),
      column(all, ({ headers }) => storableJson(headers)),
      // One parameter, which travels as the bytes it is, and where each begins in it.
      Buffer.concat(all.map(({ content }) => content)),
      column(starts(all.map(({ content }) => content.length)), (start) => start),
      column(all, ({ content }) => content.length),
      column(all, ({ noticeIds }) => `{${noticeIds.join(',')}}`),
      column(all, ({ sellerIds }) => column(sellerIds, (sellerId) => sellerId) ?? '{}'),
      column(all, ({ orders }) => orders.length),
      column(all, ({ fingerprint }) => groups.get(fingerprint)),
      column(all, ({ retryOf }) => retryOf?.failureId),
    ]);
    const ids = new Map(rows.map(([step, messageId, failureId]) => [`${step}\0${messageId}`, failureId]));
    const added = all.flatMap((failure) => {
      const key = `${failure.step}\0${failure.messageId}`;
      const failureId = ids.get(key);
      ids.delete(key); // the first of two that came under one id in one batch
      return failureId === undefined ? [] : [{ failure, failureId }];
    });
    await countInGroups(
      tx,
      added.map(({ failure, failureId }) => ({
        groupId: groups.get(failure.fingerprint) ?? '',
        failureId,
        failedAt: failure.failedAt,
        orders: failure.orders.length,
        noticeIds: failure.noticeIds,
        sellerIds: failure.sellerIds,
        cameBack: failure.retryOf !== undefined,
      })),
      { locked: groups.values(), threshold },
    );
    const left = await failAgain(
      tx,
      added.flatMap(({ failure }) => failure.retryOf ?? []),
    );
    await settleGroups(tx, [...groups.values(), ...left]);
    const orders = added.flatMap(({ failure }) => failure.orders).filter(isStorable);
    if (orders.length > 0)
      await tx.query(fail, [
        column(orders, ({ noticeId }) => noticeId),
        column(orders, ({ orderId }) => orderId),
        column(orders, ({ sellerId }) => sellerId),
        column(orders, ({ newShipDate }) => newShipDate),
      ]);
  });
}

const distinct = (texts: readonly string[]) => [...new Set(texts)];

/** Where each of several lengths begins, if they lie one after the other; Postgres counts from 1. */
function starts(lengths: readonly number[]): number[] {
  let next = 1;
  return lengths.map((length) => (next += length) - length);
}

/** Which failures to list. */
export interface FailureFilter {
  /** At most so many; default 100. */
  limit?: number | undefined;
  /** Of those before (older than) this one. */
  before?: string | undefined;
  groupId?: string | undefined;
  state?: FailureState | undefined;
}

/** Lists failures, the newest first; in a transaction of its own, unless it is given one. */
export async function listFailures(
  db: Sql,
  { limit = 100, before = greatestId, groupId, state }: FailureFilter = {},
): Promise<ListedFailure[]> {
  const common = groupId !== undefined ? 'group_id' : state !== undefined ? 'state' : undefined;
  const where = common ? `(${common}, failure_id) < ($3, $2) and ${common} >= $3` : 'failure_id < $2';
  const andState = groupId !== undefined && state !== undefined ? 'and state = $4' : '';
  const order = common ? `${common} desc, failure_id desc` : 'failure_id desc';
  const read = (from: Sql) =>
    from.query<ListedFailure>(
      `select ${listed} from failures where ${where} ${andState} order by ${order} limit $1`,
      [limit, before, groupId, state].filter((value) => value !== undefined),
    );
  if (!isStore(db)) return read(db);
  return transaction(db, async (tx) => {
    await tx.query(onlyInOrder);
    return read(tx);
  });
}

/** A transaction that is given may have other plans: those settings would stay with it. */
const isStore = (db: Sql): db is Store => 'pool' in db;
/** Comes after every id there is. */
const greatestId = '9223372036854775807';

/**
 * A page is a piece of the one index that has its columns in its order, read from where the page before ended. Left to
 * itself the planner takes another where its statistics are old or none: it reads all failures of a group and sorts
 * them, or goes through those of all groups, newest first, until it has a page. So what they have in common is a range
 * here and no `=`, by which any index in the order of ids would do.
 */
const onlyInOrder =
  'set local enable_bitmapscan = off; set local enable_sort = off; set local enable_incremental_sort = off';

/** So many failures are read at once, however small they are. */
const pageSize = 500;

/** Reads failures with their messages, in the order of their ids, in pages that have `pageBytes` of messages at most, about. */
export async function* readFailures(
  db: Sql,
  { sql, values }: FailureIds,
): AsyncGenerator<RecordedFailure[], undefined> {
  for (let after = '0'; ; ) {
    const page = await db.query<RecordedFailure>(
      `select ${whole}
       from (
         select *, ${bytesBefore('octet_length(body)', 'failure_id')} as before
         from failures where failure_id = any(array(${sql}))
       ) page
       where before < ${pageBytes} order by failure_id`,
      [after, pageSize, ...values],
    );
    const last = page.at(-1);
    if (!last) return;
    yield page;
    after = last.failureId;
  }
}

/** Finds failures by their ids; those that are not there (any more) are missing from the answer. */
export const findFailures = (db: Sql, failureIds: readonly string[]): Promise<RecordedFailure[]> =>
  db.query<RecordedFailure>(`select ${whole} from failures where failure_id = any($1) order by failure_id`, [
    failureIds,
  ]);

const listed = `
  failure_id as "failureId", state, state_at as "stateAt", operation_id as "operationId", retry_of as "retryOf",
  step, lane, type, message_id as "messageId", error_class as "errorClass", error_message as "errorMessage",
  attempt, published_at as "publishedAt", failed_at as "failedAt", recorded_at as "recordedAt",
  notice_ids as "noticeIds", seller_ids as "sellerIds", orders, group_id as "groupId"`;
const whole = `${listed}, error_stack as "errorStack", headers, body`;

const insertFailures = `
  insert into failures (step, message_id, lane, type, error_class, error_message, error_stack, attempt, published_at,
                        failed_at, headers, body, notice_ids, seller_ids, orders, group_id, retry_of)
  select step, message_id, lane, type, class, message, stack, attempt, published_at, failed_at,
         headers::jsonb, substring($12::bytea from start for length), notice_ids::uuid[], seller_ids::text[], orders,
         group_id, retry_of
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
              $9::timestamptz[], $10::timestamptz[], $11::text[], $13::int[], $14::int[], $15::text[], $16::text[],
              $17::int[], $18::bigint[], $19::bigint[])
    as k (step, message_id, lane, type, class, message, stack, attempt, published_at, failed_at, headers, start,
          length, notice_ids, seller_ids, orders, group_id, retry_of)
  on conflict (step, message_id) do nothing
  returning step, message_id, failure_id`;

// distinct: one statement may not change a row twice, and two failures may name the same order.
const fail = `
  insert into ledger as l (notice_id, order_id, seller_id, state, new_ship_date, settled_at)
  select distinct on (notice_id, order_id collate "C") notice_id, order_id, seller_id, 'failed'::ledger_state, new_ship_date, now()
  from unnest($1::uuid[], $2::text[], $3::text[], $4::date[]) as k (notice_id, order_id, seller_id, new_ship_date)
  order by notice_id, order_id collate "C"
  on conflict (notice_id, order_id) do update
  set state = 'failed', failed_from = l.state, settled_at = now()
  where l.state = 'delayed'`;
