import { generateOrders, type NoticeToPost } from '../import/generated.ts';
import { importOrders } from '../import/import-orders.ts';
import { loadMappings } from '../import/mapping.ts';
import { type ReadOptions, readOrders } from '../import/read.ts';
import type { ReadRow } from '../import/row.ts';
import { openSource } from '../import/source.ts';
import type { Limits } from '../rules/judge.ts';
import type { ShipDate } from '../rules/notice.ts';
import { forgetDelays } from '../store/demo.ts';
import { type OrderRow, upsertOrders } from '../store/orders.ts';
import { addSellers } from '../store/sellers.ts';
import type { Sql } from '../store/store.ts';
import { orderKey, type Plan, planFor } from './plan.ts';

export interface LoadOptions extends Omit<ReadOptions, 'mappings' | 'wanted'> {
  limits: Limits;
  /** Orders of the largest notice. */
  maxOrders: number;
  signal: AbortSignal;
  /** Is told how far it is, of `total`. */
  onProgress: (done: number, total: number, told: string) => void;
}

/** A plan, and how much was loaded for it. */
export interface Loaded extends Plan {
  orders: number;
  sellers: number;
  /** Rows that could not be used. */
  rejectedRows: number;
}

const batchSize = 5_000;

/** Stores generated orders as new, and plans the notice for some of them. */
export async function loadGenerated(db: Sql, size: number, options: LoadOptions): Promise<Loaded> {
  const { orders, notice } = generateOrders({ size, today: options.today });
  const sellers = [...new Set(orders.map(({ sellerId }) => sellerId))];
  await addSellers(db, sellers);
  await forgetDelays(db, sellers);
  for (let at = 0; at < orders.length; at += batchSize) {
    options.signal.throwIfAborted();
    await upsertOrders(db, orders.slice(at, at + batchSize));
    const done = Math.min(at + batchSize, orders.length);
    options.onProgress(done, orders.length, `${done.toLocaleString('en-US')} orders`);
  }
  const plan = planFor(cut(notice, options.maxOrders), orders, options.today, options.limits);
  return { ...plan, orders: orders.length, sellers: sellers.length, rejectedRows: 0 };
}

/**
 * Stores the orders of a file as new, and plans the notices that their sellers should have posted: one per seller
 * and date. Throws if the file's mapping has no adapter that knows those dates.
 */
export async function loadFile(db: Sql, path: string, options: LoadOptions): Promise<Loaded> {
  const source = await openSource(path);
  const file = await readOrders(source, { ...options, mappings: loadMappings() });
  const { mapping } = file;
  if (!mapping.reader.knowsDelays)
    throw new Error(
      `${path} (mapping ${mapping.name}) says nothing of delays, so there is nothing to post for it.\n` +
        `To load its orders: chodang orders import ${path}. To post a notice for some of them: chodang notice post --help.\n` +
        'To turn past orders into a demo, give them a mapping with an adapter: docs/importing.md.',
    );
  const late = new Map<string, Required<ReadRow>>();
  const counts = await importOrders(db, file, {
    signal: options.signal,
    onSellers: async (sellers) => {
      await forgetDelays(db, sellers);
    },
    onStored(rows, soFar) {
      for (const { order, newShipDate } of rows) {
        const key = orderKey(order.sellerId, order.orderId);
        if (newShipDate === undefined) late.delete(key);
        else late.set(key, { order, newShipDate });
      }
      const told = `${soFar.imported.toLocaleString('en-US')} orders`;
      options.onProgress(source.bytesRead(), source.totalBytes ?? 0, told);
    },
  });
  const orders = [...late.values()].map(({ order }) => order);
  const plan = planFor(noticesFor(late.values(), options.maxOrders), orders, options.today, options.limits);
  return { ...plan, orders: counts.imported, sellers: counts.sellers, rejectedRows: counts.rejected };
}

/** The notices for late orders: one per seller and date, in the order in which they turn up. */
export function noticesFor(late: Iterable<Required<ReadRow>>, maxOrders: number): NoticeToPost[] {
  const notices = new Map<string, NoticeToPost>();
  for (const { order, newShipDate } of late) {
    const key = `${order.sellerId}\0${newShipDate}`;
    const notice = notices.get(key) ?? noticeOf(order, newShipDate);
    notice.orderIds.push(order.orderId);
    notices.set(key, notice);
  }
  return [...notices.values()].flatMap((notice) => cut(notice, maxOrders));
}

const noticeOf = ({ sellerId }: OrderRow, newShipDate: ShipDate): NoticeToPost => ({
  sellerId,
  reason: 'PRODUCT_PREPARE',
  newShipDate,
  orderIds: [],
});

/** Several notices where one would be larger than the API takes. */
function cut(notice: NoticeToPost, maxOrders: number): NoticeToPost[] {
  const pieces: NoticeToPost[] = [];
  for (let at = 0; at < notice.orderIds.length; at += maxOrders)
    pieces.push({ ...notice, orderIds: notice.orderIds.slice(at, at + maxOrders) });
  return pieces;
}
