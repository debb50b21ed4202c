import { setTimeout as sleep } from 'node:timers/promises';
import { type NoticesProgress, progressOf, unsettledOrders } from '../store/demo.ts';
import type { Sql } from '../store/store.ts';

const lookEveryMs = 250;
/** Without any progress for so long, in ms, waiting is given up: several tries of a step, and their pauses. */
const patienceMs = 120_000;

/** How many orders are settled: all that the ledger has, but for those whose customer is still to be told. */
export const settledOf = ({ counts }: NoticesProgress) =>
  Object.values(counts).reduce((sum, n) => sum + n, 0) - counts.delayed;

/**
 * Waits until `orders` orders of these notices are settled, or nothing has moved for two minutes, and returns how
 * far they are then. More ids may be added to `noticeIds` meanwhile.
 */
export async function untilSettled(
  db: Sql,
  noticeIds: readonly string[],
  orders: number,
  { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: NoticesProgress) => void },
): Promise<NoticesProgress> {
  let moved = performance.now();
  let before = -1;
  for (;;) {
    const progress = await progressOf(db, noticeIds);
    onProgress(progress);
    const seen = settledOf(progress) + progress.counts.delayed / 2;
    if (seen !== before) moved = performance.now();
    before = seen;
    if (settledOf(progress) >= orders || performance.now() - moved > patienceMs) return progress;
    await sleep(lookEveryMs, undefined, { signal });
  }
}

/**
 * Waits until what earlier notices left to do is done, or nothing has moved for half a minute; returns how many orders are left.
 *
 * A run that was cut off leaves messages behind, which would else delay orders of the next one.
 */
export async function finishEarlier(
  db: Sql,
  { signal, onProgress }: { signal: AbortSignal; onProgress: (left: number) => void },
): Promise<number> {
  let moved = performance.now();
  let before = -1;
  for (;;) {
    const left = await unsettledOrders(db);
    if (left === 0) return 0;
    onProgress(left);
    if (left !== before) moved = performance.now();
    before = left;
    if (performance.now() - moved > 30_000) return left;
    await sleep(lookEveryMs, undefined, { signal });
  }
}
