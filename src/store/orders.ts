import type { ShipDate } from '../rules/notice.ts';
import type { OrderStatus } from '../rules/order.ts';
import { column } from './batch.ts';
import type { Sql } from './store.ts';

/** An order as the shop's order system tells of it. */
export interface OrderRow {
  sellerId: string;
  orderId: string;
  status: OrderStatus;
  promisedShipDate: ShipDate;
  /** Default: as promised. */
  expectedShipDate?: ShipDate;
  /** E.164; empty (the default) if the customer left none. */
  phone?: string;
  customerName?: string;
  /** Default `ko`. */
  locale?: string;
  product?: string;
}

/**
 * Writes orders as they are now: new ones are added, known ones changed. Of two with one key the last counts.
 *
 * The date a customer has (`expectedShipDate`) is only taken over for orders that were never delayed;
 * after that, it is ours. Rows that wouldn't change are not written.
 */
export async function upsertOrders(db: Sql, orders: readonly OrderRow[]): Promise<void> {
  const last = new Map(orders.map((order) => [`${order.sellerId}\0${order.orderId}`, order]));
  const rows = [...last.values()];
  await db.query(upsert, [
    column(rows, (order) => order.sellerId),
    column(rows, (order) => order.orderId),
    column(rows, (order) => order.status),
    column(rows, (order) => order.promisedShipDate),
    column(rows, (order) => order.expectedShipDate ?? order.promisedShipDate),
    column(rows, (order) => order.customerName ?? ''),
    column(rows, (order) => order.phone ?? ''),
    column(rows, (order) => order.locale ?? 'ko'),
    column(rows, (order) => order.product ?? ''),
  ]);
}

// In the order in which the delay step locks, so that an import and a delay never wait for each other.
const upsert = `
  insert into orders as o (seller_id, order_id, status, promised_ship_date, expected_ship_date,
                           customer_name, phone, locale, product)
  select * from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::date[],
                       $6::text[], $7::text[], $8::text[], $9::text[])
    as k (seller_id, order_id, status, promised, expected, customer_name, phone, locale, product)
  order by k.seller_id collate "C", k.order_id collate "C"
  on conflict (seller_id, order_id) do update set
    status = excluded.status,
    promised_ship_date = excluded.promised_ship_date,
    expected_ship_date =
      case when o.last_notice_id is null then excluded.expected_ship_date else o.expected_ship_date end,
    customer_name = excluded.customer_name,
    phone = excluded.phone,
    locale = excluded.locale,
    product = excluded.product
  where (o.status, o.promised_ship_date, o.customer_name, o.phone, o.locale, o.product)
          is distinct from (excluded.status, excluded.promised_ship_date, excluded.customer_name,
                            excluded.phone, excluded.locale, excluded.product)
     or (o.last_notice_id is null and o.expected_ship_date <> excluded.expected_ship_date)`;

/**
 * Lists the sellers who have open orders. It goes from seller to seller along the primary key, so that it reads few
 * rows of each, however many orders there are.
 */
export async function sellersWithOpenOrders(db: Sql): Promise<string[]> {
  const rows = await db.query<{ sellerId: string }>(
    `with recursive each as (
       (select seller_id from orders order by seller_id limit 1)
       union all
       select (select o.seller_id from orders o where o.seller_id > e.seller_id order by o.seller_id limit 1)
       from each e where e.seller_id is not null
     )
     select seller_id as "sellerId" from each e
     where exists (select 1 from orders o where o.seller_id = e.seller_id and o.status = 'open')`,
  );
  return rows.map(({ sellerId }) => sellerId);
}
