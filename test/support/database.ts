import { readdirSync } from 'node:fs';
import { parse } from 'node:path';
import { type BaseLogger, pino } from 'pino';
import type { NoticeHeader } from '../../src/rules/notice.ts';
import { column } from '../../src/store/batch.ts';
import { findFailures, listFailures, type RecordedFailure } from '../../src/store/failures.ts';
import type { LedgerState } from '../../src/store/ledger.ts';
import { migrate } from '../../src/store/migrate.ts';
import { type OrderRow, upsertOrders } from '../../src/store/orders.ts';
import { openStore, type Sql, type Store } from '../../src/store/store.ts';
import { aToday } from './makers.ts';
import { freshDatabase } from './servers.ts';

/** Makes a database of its own with the schema, and a store on it. `drop` closes the store too. */
export async function migratedDatabase({
  log = pino({ level: 'silent' }),
  poolSize = 8,
}: {
  log?: BaseLogger;
  poolSize?: number;
} = {}): Promise<{ url: string; store: Store; drop: () => Promise<void> }> {
  const { url, drop } = await freshDatabase();
  const store = openStore({ url, poolSize, log });
  await migrate(store);
  return {
    url,
    store,
    async drop() {
      await store.close();
      await drop();
    },
  };
}

/** Names of all migrations, in the order in which they run. */
export const allMigrations = readdirSync(new URL('../../migrations/', import.meta.url))
  .map((file) => parse(file).name)
  .toSorted();

/** Empties all tables, for the next test. */
export const emptyTables = (db: Sql) =>
  db.query(
    `truncate orders, ledger, failures, failure_groups, failure_group_notices, failure_group_sellers,
              failure_operations, failure_operation_items, alerts, alert_deliveries, operators, intake, notices,
              api_keys, sellers, audit`,
  );

/** Reads all failures with their messages, the newest first. */
export async function allFailures(db: Sql): Promise<RecordedFailure[]> {
  const listed = await listFailures(db, { limit: 100_000 });
  return (
    await findFailures(
      db,
      listed.map(({ failureId }) => failureId),
    )
  ).toReversed();
}

/** An order as the shop's system feeds it in: of `s-1`, open, promised for today, with a phone number. */
export function anOrderRow(parts: Partial<OrderRow> | string = {}): OrderRow {
  return {
    sellerId: 's-1',
    orderId: 'o-1',
    status: 'open',
    promisedShipDate: aToday,
    phone: '+821012345678',
    customerName: '김초당',
    product: '초당옥수수 10개',
    ...(typeof parts === 'string' ? { orderId: parts } : parts),
  };
}

/** Stores orders of seller `s-1`, by their ids or in parts. */
export const storeOrders = (db: Sql, orders: (Partial<OrderRow> | string)[]) =>
  upsertOrders(db, orders.map(anOrderRow));

/** A row of the ledger, as tests look at it. */
export interface LedgerRow {
  orderId: string;
  noticeId: string;
  state: LedgerState;
  rejectReason: string | null;
  oldShipDate: string | null;
  newShipDate: string;
  gatewayId: string | null;
  note: string | null;
  failedFrom: LedgerState | null;
  settled: boolean;
  sending: boolean;
}

/** Reads the whole ledger, oldest notice first. */
export const readLedger = (db: Sql): Promise<LedgerRow[]> =>
  db.query<LedgerRow>(
    `select order_id as "orderId", notice_id as "noticeId", state, reject_reason as "rejectReason",
            old_ship_date as "oldShipDate", new_ship_date as "newShipDate", gateway_id as "gatewayId", note,
            failed_from as "failedFrom", settled_at is not null as settled, sending_at is not null as sending
     from ledger order by notice_id, order_id`,
  );

/** The state of each order of a notice, by order id; a reject with its reason. */
export async function statesOf(db: Sql, { noticeId }: { noticeId: string }): Promise<Record<string, string>> {
  const rows = (await readLedger(db)).filter((row) => row.noticeId === noticeId);
  return Object.fromEntries(
    rows.map((row) => [row.orderId, row.rejectReason ? `${row.state} ${row.rejectReason}` : row.state]),
  );
}

/** Stores a notice and one chunk per list of orders in `intake`, as the API does. */
export async function storeIntake(db: Sql, header: NoticeHeader, chunks: object[][]): Promise<void> {
  const { noticeId, sellerId, path, reason, newShipDate } = header;
  await db.query('insert into sellers (seller_id) values ($1) on conflict do nothing', [sellerId]);
  await db.query(
    `insert into notices (notice_id, seller_id, path, lane, reason, new_ship_date, orders, duplicates)
     values ($1, $2, $3, 'bulk', $4, $5, $6, 0)`,
    [noticeId, sellerId, path, reason, newShipDate, chunks.flat().length],
  );
  await db.query(
    `insert into intake (notice_id, chunk_no, path, lane, chunk)
     select $1, i - 1, $2, 'bulk', chunk from unnest($3::text[]) with ordinality as k (chunk, i)`,
    [noticeId, path, column(chunks, (items) => JSON.stringify({ header, items }))],
  );
}

/** Puts one order of a notice into the ledger. */
export async function storeLedger(
  db: Sql,
  { noticeId, newShipDate }: NoticeHeader,
  orderId: string,
  state: LedgerState,
): Promise<void> {
  await db.query(
    `insert into ledger (notice_id, order_id, seller_id, state, old_ship_date, new_ship_date)
     values ($1, $2, 's-1', $3, $4, $5)`,
    [noticeId, orderId, state, aToday, newShipDate],
  );
}
