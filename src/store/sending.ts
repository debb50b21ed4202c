import type { RejectReason, ShipDate } from '../rules/notice.ts';
import type { Order } from '../rules/order.ts';
import { batchOf, column, keyColumns, lookUpColumns, type OrderKey, plain, selectColumns } from './batch.ts';
import type { LedgerState } from './ledger.ts';
import { type Store, transaction } from './store.ts';

/** What the ledger says of a delay that a customer is to be told of. */
export interface ToSend {
  state: LedgerState;
  /** Which version of the ledger's row this is: whoever changes it makes another. */
  row: RowVersion;
  /** What tells whether the delay still is true; undefined if the order is gone. */
  order: Pick<Order, 'status' | 'lastNoticeId'> | undefined;
  oldShipDate: ShipDate;
  newShipDate: ShipDate;
  /** How long ago the row was written, or retried, in ms, by Postgres's clock; undefined unless it was asked for. */
  ageMs: number | undefined;
  /** How long ago a send whose outcome may be unknown began, in ms; undefined if none did. */
  sendingForMs: number | undefined;
  customer: { name: string; phone: string; locale: string; product: string };
}

/** Where a version of a row lies, and who wrote it. Together they find it without its index, or not at all. */
export interface RowVersion {
  tid: string;
  xmin: string;
}

/** How a delay ends; `note` is the gateway's own explanation. */
export interface Ending extends OrderKey {
  state: Exclude<LedgerState, 'delayed' | 'failed'>;
  /** The version of its row, if that was `delayed`. */
  row?: RowVersion | undefined;
  gatewayId?: string;
  note?: string;
  rejectReason?: RejectReason;
}

const read = {
  name: 'read_to_send',
  text: `
  ${selectColumns([
    'k.i',
    'l.state',
    'l.tid',
    'l.writer',
    'l.old_ship_date',
    'l.new_ship_date',
    'l.age',
    'l.sending',
    'o.status',
    'o.last_notice_id',
    plain('o.customer_name'),
    plain('o.phone'),
    plain('o.locale'),
    plain('o.product'),
  ])}
  from ${batchOf()} k
  join lateral (
    select state, old_ship_date, new_ship_date, ctid as tid, xmin as writer, case when $5 then date_part('epoch', now() - coalesce(retried_at, created_at)) * 1000 end as age,
           date_part('epoch', now() - sending_at) * 1000 as sending
    from ledger l where l.notice_id = k.notice_id and l.order_id = k.order_id offset 0
  ) l on true
  left join lateral (
    select status, last_notice_id, customer_name, phone, locale, product
    from orders o where o.seller_id = k.seller_id and o.order_id = k.order_id offset 0
  ) o on true`,
};

/**
 * Reads what there is to send; one answer per key, in their order, undefined where the ledger has no row.
 *
 * `withAges` asks for the age of each row too.
 */
export async function readToSend(
  store: Store,
  keys: readonly OrderKey[],
  { withAges = false } = {},
): Promise<(ToSend | undefined)[]> {
  const all = keys.map((): ToSend | undefined => undefined);
  const columns = await lookUpColumns(store, read, [...keyColumns(keys), withAges]);
  const [places = [], states, tids, xmins, oldShipDates, newShipDates, ages, sendings, ...ofOrders] = columns;
  const [statuses, lastNoticeIds, names, phones, locales, products] = ofOrders;
  places.forEach((place, at) => {
    const status = statuses?.[at] as Order['status'] | '';
    const newShipDate = newShipDates?.[at] ?? '';
    all[Number(place) - 1] = {
      state: states?.[at] as LedgerState,
      row: { tid: tids?.[at] ?? '', xmin: xmins?.[at] ?? '' },
      order: status ? { status, lastNoticeId: lastNoticeIds?.[at] || null } : undefined,
      oldShipDate: oldShipDates?.[at] || newShipDate,
      newShipDate,
      ageMs: ages?.[at] ? Number(ages[at]) : undefined,
      sendingForMs: sendings?.[at] ? Number(sendings[at]) : undefined,
      customer: {
        name: names?.[at] ?? '',
        phone: phones?.[at] ?? '',
        locale: locales?.[at] ?? '',
        product: products?.[at] ?? '',
      },
    };
  });
  return all;
}

// The coalesce hides the condition from the planner. Analyzed while all was settled, the ledger has nothing
// `delayed` in its statistics, and the whole of it would be read to find that nothing in no time: minutes.
const stillDelayed = (and = '') => `
  l.notice_id = k.notice_id and l.order_id = k.order_id and coalesce(l.state = 'delayed' ${and}, false)`;
const joined = (and?: string) => `from ${batchOf()} k where ${stillDelayed(and)}`;

/**
 * Commits that these are about to be sent, and returns, in their order, the new version of each row that is ours
 * to send now.
 *
 * The others were settled meanwhile, or somebody else is sending them.
 */
export async function beginSending(
  store: Store,
  keys: readonly OrderKey[],
): Promise<(RowVersion | undefined)[]> {
  const rows = await transaction(store, (tx) =>
    tx.rows<[string, string, string, string]>(
      `update ledger l set sending_at = now() ${joined('and l.sending_at is null')}
       returning l.notice_id, l.order_id, l.ctid, l.xmin`,
      keyColumns(keys),
    ),
  );
  const ours = new Map(
    rows.map(([noticeId, orderId, tid, xmin]) => [`${noticeId}/${orderId}`, { tid, xmin }]),
  );
  return keys.map(({ noticeId, orderId }) => ours.get(`${noticeId}/${orderId}`));
}

/** Takes back what `beginSending` wrote, for what was certainly not sent. */
export async function forgetSending(store: Store, keys: readonly OrderKey[]): Promise<void> {
  if (keys.length === 0) return;
  await transaction(store, (tx) =>
    tx.query(`update ledger l set sending_at = null ${joined()}`, keyColumns(keys)),
  );
}

/** Keeps that these may have been sent, first `msAgo`; an earlier time that is kept already stays. */
export async function keepSending(store: Store, keys: readonly OrderKey[], msAgo: number): Promise<void> {
  if (keys.length === 0) return;
  await transaction(store, (tx) =>
    tx.query(
      `update ledger l set sending_at = coalesce(l.sending_at, now() - $5::float8 * interval '1 millisecond') ${joined()}`,
      [...keyColumns(keys), msAgo],
    ),
  );
}

/**
 * Records how delays ended; what is no longer `delayed` is left as it is.
 *
 * A row that is still the version it was when it was read is found where it lies, without its index. Should
 * any have changed since, all are looked for by their keys.
 */
export async function recordEndings(store: Store, endings: readonly Ending[]): Promise<void> {
  if (endings.length === 0) return;
  const columns = [
    column(endings, (ending) => ending.state),
    column(endings, (ending) => withoutNul(ending.gatewayId)),
    column(endings, (ending) => withoutNul(ending.note)),
    column(endings, (ending) => ending.rejectReason),
  ];
  await transaction(store, async (tx, run) => {
    if (run === 1 && endings.every(({ row }) => row)) {
      await tx.last(endVersions, [
        column(endings, ({ row }) => row?.tid),
        column(endings, ({ row }) => row?.xmin),
        ...columns,
        endings.length,
      ]);
    } else await tx.query(endKeys, [...keyColumns(endings), ...columns]);
  });
}

const end = (from: string, where: string) => `
  update ledger l
  set state = k.state, gateway_id = k.gateway_id, note = k.note, reject_reason = k.reject_reason, settled_at = now()
  from ${from} k
  where ${where}`;
const ending = { state: 'ledger_state', gateway_id: 'text', note: 'text', reject_reason: 'text' };
const endKeys = end(batchOf(ending), stillDelayed());
const endVersions = `
  with ended as (
    ${end(
      `(
        select * from unnest($1::tid[], $2::xid[], $3::ledger_state[], $4::text[], $5::text[], $6::text[])
          as u (tid, writer, ${Object.keys(ending).join(', ')})
      )`,
      'l.ctid = k.tid and l.xmin = k.writer',
    )}
    returning 1
  )
  select all_of(count(*), $7) from ended`;

/** What a gateway says must not keep us from recording that it sent: Postgres takes no NUL. */
const withoutNul = (text: string | undefined) => text?.replaceAll('\0', '');
