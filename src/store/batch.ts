import { type Prepared, type Sql, type Store, transaction } from './store.ts';

/** One order of one notice. */
export interface OrderKey {
  noticeId: string;
  sellerId: string;
  orderId: string;
}

/** Tells whether Postgres can hold a key: it takes no NUL, so such an order has no row anywhere. */
export const isStorable = ({ sellerId, orderId }: OrderKey): boolean =>
  !sellerId.includes('\0') && !orderId.includes('\0');

type Value = string | number | null | undefined;
const isNull = (value: Value): value is null | undefined => value === null || value === undefined;

/**
 * Writes a column of a batch as Postgres reads an array: `{"a",null,"b"}`, for `unnest($1::text[], …)`; null if
 * there is nothing in it, which `unnest` beside other columns fills up.
 *
 * pg would do the same for a list, many times slower, which counts at a dozen columns of a thousand rows. JSON
 * quotes as Postgres does, but for what it escapes: those are written one by one.
 */
export function column<T>(rows: readonly T[], valueOf: (row: T) => Value): string | null {
  const values = rows.map(valueOf);
  if (values.every(isNull)) return null;
  const json = JSON.stringify(values);
  return `{${json.includes('\\') ? values.map(quote).join(',') : json.slice(1, -1)}}`;
}

const quote = (value: Value) => (isNull(value) ? 'null' : `"${String(value).replaceAll(/["\\]/g, '\\$&')}"`);

/**
 * Writes the keys of a batch as `batchOf` takes them.
 *
 * Most of a batch belongs to few notices: each is named once, and each order says which is its own.
 */
export function keyColumns(keys: readonly OrderKey[]): (string | null)[] {
  const notices = new Map<string, { number: number; key: OrderKey }>();
  const numbers = keys.map((key) => {
    let notice = notices.get(key.noticeId);
    if (!notice) notices.set(key.noticeId, (notice = { number: notices.size + 1, key }));
    return notice.number;
  });
  const named = [...notices.values()];
  return [
    column(named, ({ key }) => key.noticeId),
    column(named, ({ key }) => key.sellerId),
    column(numbers, (number) => number),
    column(keys, ({ orderId }) => orderId),
  ];
}

/**
 * Writes the SQL of a batch, for a `from`: columns `notice_id`, `seller_id`, `order_id` and the place `i`, from
 * 1, of what `keyColumns` wrote as `$1` to `$4`, then the columns of `more`, with their types, from `$5` on.
 */
export function batchOf(more: Readonly<Record<string, string>> = {}): string {
  const arrays = ['int', 'text', ...Object.values(more)].map((type, at) => `$${at + 3}::${type}[]`);
  const names = ['notice', 'order_id', ...Object.keys(more), 'i'];
  return `(
    select ($1::uuid[])[u.notice] as notice_id, ($2::text[])[u.notice] as seller_id, u.*
    from unnest(${arrays.join(', ')}) with ordinality as u (${names.join(', ')})
  )`;
}

/** Keeps the values of a column apart. No value may hold it: see `plain`. */
const separator = '\u001f';
const sqlSeparator = "E'\\x1f'";

/** Writes the SQL of a text that people wrote, without the one character that would be taken for a separator. */
export const plain = (text: string) => `translate(${text}, ${sqlSeparator}, ' ')`;

/** Writes the `select` of what `readColumns` reads: each of `columns` as one text. */
export const selectColumns = (columns: readonly string[]) =>
  `select ${columns.map((each) => `string_agg(coalesce((${each})::text, ''), ${sqlSeparator})`).join(', ')}`;

/**
 * Reads rows as whole columns, null as ''. Thousands of rows take half the time that way: the driver makes an
 * object of every row and a string of every value.
 */
export async function readColumns(db: Sql, sql: string, values: readonly unknown[]): Promise<string[][]> {
  return columnsOf(await db.rows(sql, values));
}

/** The same for a batch of keys, in a transaction of its own: see `Prepared`. */
export async function lookUpColumns(
  store: Store,
  statement: Prepared,
  values: readonly unknown[],
): Promise<string[][]> {
  return columnsOf(await transaction(store, (tx) => tx.last(statement, values)));
}

function columnsOf([row = []]: (string | null)[][]): string[][] {
  const columns = row.map((column) => (column === null ? [] : column.split(separator)));
  if (columns.some(({ length }) => length !== columns[0]?.length))
    throw new Error('a value holds the character that keeps the values of a column apart');
  return columns;
}
