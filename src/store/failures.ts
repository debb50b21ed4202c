import type { ShipDate } from '../rules/notice.ts';
import type { OrderKey } from './batch.ts';
import { type Sql, type Store, transaction } from './store.ts';

/** A message that a step gave up, or an order that the legacy run did. */
export interface Failure {
  step: string;
  lane: string;
  /** Unique for the step: a failure that is recorded again under the same id changes nothing. */
  messageId: string;
  errorClass: string;
  errorMessage: string;
  errorStack: string | undefined;
  attempt: number;
  failedAt: Date;
  headers: Record<string, unknown>;
  /** Byte for byte as it came, JSON or not. */
  content: Buffer;
  /** What the message holds, as far as it could be read. */
  orders: readonly FailedOrder[];
}

export interface FailedOrder extends OrderKey {
  newShipDate: ShipDate;
}

/** A failure as it is listed. */
export interface RecordedFailure {
  failureId: string;
  step: string;
  lane: string;
  messageId: string;
  errorClass: string;
  errorMessage: string;
  errorStack: string | null;
  attempt: number;
  failedAt: Date;
  recordedAt: Date;
  headers: Record<string, unknown>;
  body: Buffer;
  noticeIds: string[];
  orders: number;
}

/**
 * Keeps failures for people to look at and retry, and sets their orders to `failed`, in one transaction.
 *
 * Safe to do twice: a failure that is there already (same step and message id) is left alone with its orders,
 * which a retry may have taken up since. In the ledger `failed` goes over no row and over `delayed` only, and
 * `failed_from` keeps which. Whatever bytes a failure holds can be kept: what Postgres takes in no text (NUL,
 * half a surrogate pair) becomes U+FFFD, and an order whose id holds one can't have a ledger row.
 */
export async function recordFailures(store: Store, failures: readonly Failure[]): Promise<void> {
  if (failures.length === 0) return;
  await transaction(store, async (tx) => {
    const added = await tx.rows<[step: string, messageId: string]>(insertFailures, [
      failures.map((failure) => storable(failure.step)),
      failures.map((failure) => storable(failure.messageId)),
      failures.map((failure) => storable(failure.lane)),
      failures.map((failure) => storable(failure.errorClass)),
      failures.map((failure) => storable(failure.errorMessage)),
      failures.map((failure) => storable(failure.errorStack)),
      failures.map((failure) => failure.attempt),
      failures.map((failure) => failure.failedAt),
      failures.map((failure) => storableJson(failure.headers)),
      failures.map((failure) => failure.content.toString('hex')),
      failures.map((failure) => `{${[...new Set(failure.orders.map((order) => order.noticeId))].join(',')}}`),
      failures.map((failure) => failure.orders.length),
    ]);
    const isNew = new Set(added.map(([step, messageId]) => `${step}\0${messageId}`));
    const orders = failures
      .filter((failure) => isNew.has(`${storable(failure.step)}\0${storable(failure.messageId)}`))
      .flatMap((failure) => failure.orders)
      .filter(({ sellerId, orderId }) => !sellerId.includes('\0') && !orderId.includes('\0'));
    if (orders.length > 0)
      await tx.query(fail, [
        orders.map((order) => order.noticeId),
        orders.map((order) => order.orderId),
        orders.map((order) => order.sellerId),
        orders.map((order) => order.newShipDate),
      ]);
  });
}

/** Lists failures, the newest first: at most `limit` (default 100), of those before `before` if it is given. */
export async function listFailures(
  db: Sql,
  { limit = 100, before }: { limit?: number; before?: string } = {},
): Promise<RecordedFailure[]> {
  return db.query<RecordedFailure>(
    `select failure_id as "failureId", step, lane, message_id as "messageId", error_class as "errorClass",
            error_message as "errorMessage", error_stack as "errorStack", attempt, failed_at as "failedAt",
            recorded_at as "recordedAt", headers, body, notice_ids as "noticeIds", orders
     from failures where $2::bigint is null or failure_id < $2
     order by failure_id desc limit $1`,
    [limit, before],
  );
}

const insertFailures = `
  insert into failures (step, message_id, lane, error_class, error_message, error_stack, attempt, failed_at,
                        headers, body, notice_ids, orders)
  select step, message_id, lane, class, message, stack, attempt, failed_at,
         headers::jsonb, decode(body, 'hex'), notice_ids::uuid[], orders
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
              $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::int[])
    as k (step, message_id, lane, class, message, stack, attempt, failed_at, headers, body, notice_ids, orders)
  on conflict (step, message_id) do nothing
  returning step, message_id`;

// distinct: one statement may not change a row twice, and two failures may name the same order.
const fail = `
  insert into ledger as l (notice_id, order_id, seller_id, state, new_ship_date, settled_at)
  select distinct on (notice_id, order_id collate "C") notice_id, order_id, seller_id, 'failed'::ledger_state, new_ship_date, now()
  from unnest($1::uuid[], $2::text[], $3::text[], $4::date[]) as k (notice_id, order_id, seller_id, new_ship_date)
  order by notice_id, order_id collate "C"
  on conflict (notice_id, order_id) do update
  set state = 'failed', failed_from = l.state, settled_at = now()
  where l.state = 'delayed'`;

const storable = (text: string | undefined) => text?.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd');

/** jsonb takes neither NUL nor half a surrogate pair, which JSON writes as escapes. */
const storableJson = (value: unknown) =>
  JSON.stringify(value).replaceAll(/\\u(0000|d[89a-f][0-9a-f]{2})/gi, '\\ufffd');
