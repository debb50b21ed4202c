import type { Store } from '../src/store/store.ts';

/** Orders of a run: `<prefix>-0`, `<prefix>-1`, …, dealt out to `sellers` sellers in turn. */
export interface OrderSet {
  prefix: string;
  count: number;
  sellers: number;
}

/** The names of all sellers that a scenario has. */
export const sellerIds = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => `seller-${at}`);

/** The ids of the orders of a run, in the order in which they are dealt out. */
export const orderIdsOf = ({ prefix, count }: Pick<OrderSet, 'prefix' | 'count'>): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}-${at}`);

/**
 * Adds open orders that can be delayed from today on, each with a phone number of its own, and lets Postgres take
 * stock, so that neither that nor a checkpoint falls into what is measured.
 */
export async function addOrders(store: Store, { prefix, count, sellers }: OrderSet): Promise<void> {
  // No number ends in 0000: to the simulator those are wrong numbers.
  await store.query(
    `insert into orders (seller_id, order_id, status, promised_ship_date, expected_ship_date, phone, customer_name,
                         locale, product)
     select 'seller-' || i % $3, $1 || '-' || i, 'open', current_date, current_date,
            '+8210' || 1000 + i / 9999 || to_char(i % 9999 + 1, 'FM0000'), '김하늘', 'ko', '초당옥수수 10개'
     from generate_series(0, $2::int - 1) as i`,
    [prefix, count, sellers],
  );
  await takeStock(store);
}

/** Lets Postgres take stock of all tables that a notice passes, and write out what it holds. */
export async function takeStock(store: Store): Promise<void> {
  for (const table of ['orders', 'ledger', 'notices', 'intake']) await store.query(`vacuum analyze ${table}`);
  await store.query('checkpoint');
}

/** Empties all that a notice leaves behind, and the orders. */
export async function emptyTables(store: Store): Promise<void> {
  await store.query('truncate orders, ledger, notices, intake, imports, import_rejects');
}
