import type { OrderEvent, OrderUpserted } from '../rules/orderEvent.ts';
import { column } from './batch.ts';
import { type Sql, type Store, transaction } from './store.ts';

/** What some events of one order come to. */
interface Change {
  sellerId: string;
  orderId: string;
  /** The event that the status comes with: the newest. */
  newest: OrderEvent;
  /** The event that all else comes with: the newest that says it; undefined if none does. */
  upserted: OrderUpserted | undefined;
  /** Where the events are in the batch. */
  places: number[];
}

/**
 * Takes in events: orders that are new are added, others changed, in one statement for all of them.
 *
 * The status is that of the newest event of an order, all else that of its newest `order.upserted`: what comes late
 * never overwrites what is newer, and loses nothing either. So any events in any sequence, and repeated, end as if
 * each had come once, and in its turn. An order that none of them changes keeps its version (decision 17).
 *
 * Tells of each event, in their order, whether it was taken in, or needed no more; false for a new status of an order
 * that there is not.
 */
export async function takeEvents(store: Store, events: readonly OrderEvent[]): Promise<boolean[]> {
  const taken = events.map(() => true);
  const changes = changesOf(events);
  if (changes.length === 0) return taken;
  const [row] = await transaction(store, (tx) =>
    tx.rows<[unknown: number[] | null]>(take, [
      column(changes, ({ sellerId }) => sellerId),
      column(changes, ({ orderId }) => orderId),
      column(changes, ({ newest }) => newest.data.status),
      column(changes, ({ newest }) => newest.data.version),
      column(changes, ({ upserted }) => upserted?.data.version),
      column(changes, ({ upserted }) => upserted?.data.promisedShipDate),
      column(changes, ({ upserted }) => upserted?.data.customerName),
      column(changes, ({ upserted }) => upserted?.data.phone),
      column(changes, ({ upserted }) => upserted && (upserted.data.locale ?? 'ko')),
      column(changes, ({ upserted }) => upserted?.data.product),
    ]),
  );
  for (const at of row?.[0] ?? []) for (const place of changes[at - 1]?.places ?? []) taken[place] = false;
  return taken;
}

function changesOf(events: readonly OrderEvent[]): Change[] {
  const changes = new Map<string, Change>();
  events.forEach((event, place) => {
    const { sellerId, orderId, version } = event.data;
    const upserted = event.type === 'order.upserted' ? event : undefined;
    const key = `${sellerId}\0${orderId}`;
    const change = changes.get(key);
    if (!change) {
      changes.set(key, { sellerId, orderId, newest: event, upserted, places: [place] });
      return;
    }
    change.places.push(place);
    if (version > change.newest.data.version) change.newest = event;
    if (upserted && version > (change.upserted?.data.version ?? -1)) change.upserted = upserted;
  });
  return [...changes.values()];
}

/** Whether an event is newer than the one an order stands at; a version that is null is older than any. */
const newer = (what: 'status' | 'upsert') =>
  `coalesce(excluded.${what}_version > coalesce(o.${what}_version, -1), false)`;

// Rows are locked in the order of their keys, as everywhere; the conflict is judged by the row as it is under the
// lock. An order of which only the status comes is inserted as it is, which always ends in the conflict.
const take = `
  with found as materialized (
    select k.*, coalesce(k.promised, o.promised_ship_date) as ship_date
    from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::date[],
                $7::text[], $8::text[], $9::text[], $10::text[]) with ordinality
      as k (seller_id, order_id, status, status_version, upsert_version, promised,
            customer_name, phone, locale, product, i)
    left join lateral (
      select o.promised_ship_date from orders o
      where k.promised is null and o.seller_id = k.seller_id and o.order_id = k.order_id offset 0
    ) o on true
  ), taken as (
    insert into orders as o (seller_id, order_id, status, promised_ship_date, expected_ship_date, customer_name, phone,
                             locale, product, status_version, upsert_version)
    select seller_id, order_id, status, ship_date, ship_date, coalesce(customer_name, ''), coalesce(phone, ''),
           coalesce(locale, ''), coalesce(product, ''), status_version, upsert_version
    from found
    where ship_date is not null
    order by seller_id collate "C", order_id collate "C"
    on conflict (seller_id, order_id) do update set
      status = case when ${newer('status')} then excluded.status else o.status end,
      status_version = greatest(o.status_version, excluded.status_version),
      expected_ship_date =
        case when ${newer('upsert')} and o.last_notice_id is null
          then excluded.promised_ship_date else o.expected_ship_date end,
      ${['promised_ship_date', 'customer_name', 'phone', 'locale', 'product']
        .map((each) => `${each} = case when ${newer('upsert')} then excluded.${each} else o.${each} end`)
        .join(',')},
      upsert_version = greatest(o.upsert_version, excluded.upsert_version)
    where ${newer('status')} or ${newer('upsert')}
  )
  select array_agg(i::int) from found where ship_date is null`;

/**
 * Tells of each event, in their order, whether it was taken in: its order stands at it, or at a newer one. So an event
 * that has failed, and is sent again, tells how that ended.
 */
export async function areTaken(db: Sql, events: readonly OrderEvent[]): Promise<boolean[]> {
  if (events.length === 0) return [];
  const rows = await db.rows<[place: number]>(stands, [
    column(events, ({ data }) => data.sellerId),
    column(events, ({ data }) => data.orderId),
    column(events, ({ data }) => data.version),
    column(events, ({ type }) => Number(type === 'order.upserted')),
  ]);
  const taken = events.map(() => false);
  for (const [place] of rows) taken[place - 1] = true;
  return taken;
}

const stands = `
  select k.i::int
  from unnest($1::text[], $2::text[], $3::bigint[], $4::int[]) with ordinality
    as k (seller_id, order_id, version, is_upserted, i)
  join lateral (
    select o.status_version, o.upsert_version from orders o
    where o.seller_id = k.seller_id and o.order_id = k.order_id offset 0
  ) o on o.status_version >= k.version and (k.is_upserted = 0 or o.upsert_version >= k.version)`;
