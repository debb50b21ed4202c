import { judge, type Limits, stillTrue } from '../rules/judge.ts';
import type { RejectReason, ShipDate } from '../rules/notice.ts';
import { failedOrdersOf, type SalvagedOrder } from '../rules/salvage.ts';
import { isStorable } from '../store/batch.ts';
import { tellLeft } from '../store/failureChoice.ts';
import type { RecordedFailure } from '../store/failures.ts';
import { failedFromOf, type LedgerState, readOrders } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { unreadable } from './check.ts';

/** What would become of one failure if it were retried now. */
export interface Foreseen {
  failureId: string;
  step: string;
  lane: string;
  /** `skip`: it is not open; `fail`: it would fail again, whatever happens; `go`: its orders would go on. */
  would: 'go' | 'skip' | 'fail';
  /** Why it would be skipped or fail. */
  why: string | null;
  /** How many orders would be worked on, and how many are settled and would be left alone. */
  goOn: number;
  settled: number;
  /** The orders that would be rejected, by reason: canceled or shipped since, overtaken by a newer notice, … */
  rejected: Partial<Record<RejectReason, string[]>>;
}

export interface ForeseeOptions {
  limits: Limits;
  /** The day it is for the shop. */
  today: ShipDate;
  /** `legacy`: they would be handed to the legacy run. */
  path: 'legacy' | null;
}

/**
 * Tells what would become of failures if they were retried now; nothing is changed. A step judges again when the time
 * has come, so this may be outdated by then.
 */
export async function foresee(
  db: Store,
  failures: readonly RecordedFailure[],
  { limits, today, path }: ForeseeOptions,
): Promise<Foreseen[]> {
  // What can't be asked for is not: such a message would fail again.
  const orders = failures.map(({ body }) => failedOrdersOf(body).filter(isStorable));
  const keys = orders.flat();
  const found = await readOrders(db, keys);
  const failedFrom = await failedFromOf(db, keys);
  let at = 0;
  return failures.map((failure, i) => {
    const foreseen = verdictOn(failure, path);
    for (const order of orders[i] ?? []) {
      const { state, order: now } = found[at] ?? {};
      const from = failedFrom[at];
      at += 1;
      if (foreseen.would !== 'go') continue;
      if (state !== undefined && state !== 'delayed' && state !== 'failed') foreseen.settled += 1;
      else {
        const reason = reasonAgainst(order, now, { state, from }, today, limits);
        if (reason === undefined) foreseen.goOn += 1;
        else (foreseen.rejected[reason] ??= []).push(order.orderId);
      }
    }
    return foreseen;
  });
}

function verdictOn(failure: RecordedFailure, path: 'legacy' | null): Foreseen {
  const { failureId, step, lane, state } = failure;
  const none = { failureId, step, lane, goOn: 0, settled: 0, rejected: {} };
  if (state !== 'open') return { ...none, would: 'skip', why: tellLeft(failure) };
  const problem = unreadable(failure);
  if (problem === undefined) return { ...none, would: 'go', why: null };
  const edit = `"chodang failed edit ${failureId}" mends it`;
  if (path === 'legacy' || step === 'legacy')
    return { ...none, would: 'fail', why: `it can't be handed to the legacy run: ${problem}; ${edit}` };
  return { ...none, would: 'fail', why: `${problem}; ${edit}` };
}

/** Before the customer's date was changed, the rules decide; after that, whether it is still true. */
function reasonAgainst(
  order: SalvagedOrder,
  now: Parameters<typeof judge>[0],
  { state, from }: { state: LedgerState | undefined; from: LedgerState | undefined },
  today: ShipDate,
  limits: Limits,
): RejectReason | undefined {
  return state === 'delayed' || from === 'delayed'
    ? stillTrue(now, order.noticeId, order.newShipDate, today)
    : judge(now, order, today, limits);
}
