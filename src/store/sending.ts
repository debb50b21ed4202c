import type { RejectReason, ShipDate } from '../rules/notice.ts';
import type { Order, OrderStatus } from '../rules/order.ts';
import { column } from './columns.ts';
import { keyColumns, type LedgerState, type OrderKey } from './ledger.ts';
import { type Sql, type Store, transaction } from './store.ts';

/** What the ledger says of a delay that a customer is to be told of. */
export interface ToSend {
  state: LedgerState;
  order: Order | undefined;
  oldShipDate: ShipDate;
  newShipDate: ShipDate;
  /** How long ago the row was written, in ms, by Postgres's clock. */
  ageMs: number;
  /** How long ago a send whose outcome may be unknown began, in ms; undefined if none did. */
  sendingForMs: number | undefined;
  customer: { name: string; phone: string; locale: string; product: string };
}

/** How a delay ends; `note` is the gateway's own explanation. */
export interface Ending extends Omit<OrderKey, 'sellerId'> {
  state: Exclude<LedgerState, 'delayed' | 'failed'>;
  gatewayId?: string;
  note?: string;
  rejectReason?: RejectReason;
}

const read = `
  select k.i::int, l.state, l.old_ship_date, l.new_ship_date, l.age, l.sending,
         o.status, o.promised_ship_date, o.expected_ship_date, o.delay_count, o.last_notice_id,
         o.customer_name, o.phone, o.locale, o.product
  from unnest($1::uuid[], $2::text[], $3::text[]) with ordinality as k (notice_id, seller_id, order_id, i)
  join lateral (
    select *, extract(epoch from now() - created_at)::float8 * 1000 as age,
           extract(epoch from now() - sending_at)::float8 * 1000 as sending
    from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
  ) l on true
  left join lateral (
    select * from orders o where o.seller_id = k.seller_id and o.order_id = k.order_id offset 0
  ) o on true`;

type ReadRow = [
  i: number,
  state: LedgerState,
  oldShipDate: ShipDate | null,
  newShipDate: ShipDate,
  ageMs: number,
  sendingForMs: number | null,
  status: OrderStatus | null,
  promised: ShipDate,
  expected: ShipDate,
  delayCount: number,
  lastNoticeId: string | null,
  name: string | null,
  phone: string | null,
  locale: string | null,
  product: string | null,
];

/** Reads what there is to send; one answer per key, in their order, undefined where the ledger has no row. */
export async function readToSend(db: Sql, keys: readonly OrderKey[]): Promise<(ToSend | undefined)[]> {
  const all = keys.map((): ToSend | undefined => undefined);
  for (const row of await db.rows<ReadRow>(read, keyColumns(keys))) {
    const [i, state, oldShipDate, newShipDate, ageMs, sendingForMs, status, promisedShipDate] = row;
    const [, , , , , , , , expectedShipDate, delayCount, lastNoticeId, name, phone, locale, product] = row;
    const { sellerId, orderId } = keys[i - 1] as OrderKey;
    all[i - 1] = {
      state,
      order: status
        ? { sellerId, orderId, status, promisedShipDate, expectedShipDate, delayCount, lastNoticeId }
        : undefined,
      oldShipDate: oldShipDate ?? newShipDate,
      newShipDate,
      ageMs,
      sendingForMs: sendingForMs ?? undefined,
      customer: { name: name ?? '', phone: phone ?? '', locale: locale ?? '', product: product ?? '' },
    };
  }
  return all;
}

// The coalesce hides the condition from the planner. Analyzed while all was settled, the ledger has nothing
// `delayed` in its statistics, and the whole of it would be read to find that nothing in no time: minutes.
const stillDelayed = (and = '') => `
  l.notice_id = k.notice_id and l.order_id = k.order_id and coalesce(l.state = 'delayed' ${and}, false)`;
const joined = (and?: string) =>
  `from unnest($1::uuid[], $2::text[]) as k (notice_id, order_id) where ${stillDelayed(and)}`;

/**
 * Commits that these are about to be sent, and tells, in their order, which of them are ours to send now.
 *
 * The others were settled meanwhile, or somebody else is sending them.
 */
export async function beginSending(store: Store, keys: readonly OrderKey[]): Promise<boolean[]> {
  const rows = await transaction(store, (tx) =>
    tx.rows<[string, string]>(
      `update ledger l set sending_at = now() ${joined('and l.sending_at is null')}
       returning l.notice_id, l.order_id`,
      noticesAndOrders(keys),
    ),
  );
  const ours = new Set(rows.map(([noticeId, orderId]) => `${noticeId}/${orderId}`));
  return keys.map(({ noticeId, orderId }) => ours.has(`${noticeId}/${orderId}`));
}

/** Takes back what `beginSending` wrote, for what was certainly not sent. */
export async function forgetSending(store: Store, keys: readonly OrderKey[]): Promise<void> {
  if (keys.length === 0) return;
  await transaction(store, (tx) =>
    tx.query(`update ledger l set sending_at = null ${joined()}`, noticesAndOrders(keys)),
  );
}

/** Keeps that these may have been sent, first `msAgo`; an earlier time that is kept already stays. */
export async function keepSending(store: Store, keys: readonly OrderKey[], msAgo: number): Promise<void> {
  if (keys.length === 0) return;
  await transaction(store, (tx) =>
    tx.query(
      `update ledger l set sending_at = coalesce(l.sending_at, now() - $3::float8 * interval '1 millisecond') ${joined()}`,
      [...noticesAndOrders(keys), msAgo],
    ),
  );
}

/** Records how delays ended; what is no longer `delayed` is left as it is. */
export async function recordEndings(store: Store, endings: readonly Ending[]): Promise<void> {
  if (endings.length === 0) return;
  await transaction(store, (tx) =>
    tx.query(
      `update ledger l
       set state = k.state, gateway_id = k.gateway_id, note = k.note, reject_reason = k.reject_reason,
           settled_at = now()
       from unnest($1::uuid[], $2::text[], $3::ledger_state[], $4::text[], $5::text[], $6::text[])
         as k (notice_id, order_id, state, gateway_id, note, reject_reason)
       where ${stillDelayed()}`,
      [
        ...noticesAndOrders(endings),
        column(endings, (ending) => ending.state),
        column(endings, (ending) => withoutNul(ending.gatewayId)),
        column(endings, (ending) => withoutNul(ending.note)),
        column(endings, (ending) => ending.rejectReason),
      ],
    ),
  );
}

const noticesAndOrders = (keys: readonly Omit<OrderKey, 'sellerId'>[]) => [
  column(keys, (key) => key.noticeId),
  column(keys, (key) => key.orderId),
];

/** What a gateway says must not keep us from recording that it sent: Postgres takes no NUL. */
const withoutNul = (text: string | undefined) => text?.replaceAll('\0', '');
