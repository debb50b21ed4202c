import { upsertOrders } from '../store/orders.ts';
import { addSellers } from '../store/sellers.ts';
import type { Sql } from '../store/store.ts';
import type { OrderFile } from './read.ts';
import { readAhead } from './read-ahead.ts';
import type { RejectsFile } from './rejects.ts';
import type { ReadRow } from './row.ts';

/** How many rows of a file there were. */
export interface ImportCounts {
  /** All that were read. */
  rows: number;
  /** Those whose order is stored now. */
  imported: number;
  /** Those that could not be used. */
  rejected: number;
  /** Distinct sellers of the imported ones. */
  sellers: number;
}

export interface ImportOptions {
  /** Without it, rejects are only counted. */
  rejects?: RejectsFile;
  /** Called before the first orders of these sellers are stored. */
  onSellers?: (sellerIds: readonly string[]) => Promise<void>;
  /** Called when rows have been stored. */
  onStored?: (rows: readonly ReadRow[], counts: Readonly<ImportCounts>) => void;
  /** Ends the import between two batches, by throwing its reason. */
  signal?: AbortSignal;
}

/**
 * Stores the orders of a file, a few thousand at a time, and adds sellers that are missing.
 *
 * Of two rows with one key the later counts. It can be repeated, also after it broke off in the middle.
 */
export async function importOrders(
  db: Sql,
  file: OrderFile,
  options: ImportOptions = {},
): Promise<ImportCounts> {
  const { rejects, onSellers, onStored, signal } = options;
  const counts: ImportCounts = { rows: 0, imported: 0, rejected: 0, sellers: 0 };
  const sellers = new Set<string>();
  for await (const batch of readAhead(file.batches())) {
    signal?.throwIfAborted();
    await rejects?.add(batch.rejects);
    const orders = batch.rows.map(({ order }) => order);
    const added = [...new Set(orders.map(({ sellerId }) => sellerId))].filter((id) => !sellers.has(id));
    if (added.length > 0) {
      await addSellers(db, added);
      await onSellers?.(added);
      for (const id of added) sellers.add(id);
    }
    if (orders.length > 0) await upsertOrders(db, orders);
    counts.rows += batch.rows.length + batch.rejects.length;
    counts.imported += batch.rows.length;
    counts.rejected += batch.rejects.length;
    counts.sellers = sellers.size;
    onStored?.(batch.rows, counts);
  }
  return counts;
}
