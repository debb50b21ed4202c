import { rejectReasons } from '../rules/notice.ts';
import type { LedgerEntry } from '../store/demo.ts';
import { orderKey, type Plan } from './plan.ts';

/** What a check found. */
export interface Checked {
  /** One sentence per order that is not as it must be; the first hundred. */
  problems: string[];
  /** How many there are. */
  problemCount: number;
  rejected: Record<string, number>;
  /** Notifications delivered for these notices. */
  notifications: number;
}

/**
 * Compares what became of every order with what had to, and what the simulator delivered with who had to be told:
 * exactly once for each order that is notified, and never for another.
 *
 * `told` says how often each idempotency key, `<notice id>:<order id>`, was delivered.
 */
export function check(
  plan: Plan,
  ledger: readonly LedgerEntry[],
  told: ReadonlyMap<string, number>,
): Checked {
  const problems: string[] = [];
  let problemCount = 0;
  const problem = (text: string) => {
    problemCount++;
    if (problems.length < 100) problems.push(text);
  };
  const rejected: Record<string, number> = {};
  let notifications = 0;
  const missing = new Set(plan.expected.keys());
  for (const [noticeId, sellerId, orderId, state, rejectReason] of ledger) {
    const key = orderKey(sellerId, orderId);
    const became = rejectReason === null ? state : `${state} ${rejectReason}`;
    const expected = plan.expected.get(key);
    const who = `order ${orderId} of ${sellerId}`;
    if (became !== expected) problem(`${who}: expected ${expected ?? 'nothing'}, became ${became}`);
    if (rejectReason !== null) rejected[rejectReason] = (rejected[rejectReason] ?? 0) + 1;
    missing.delete(key);
    const times = told.get(`${noticeId}:${orderId}`) ?? 0;
    notifications += times;
    const wanted = expected === 'notified' ? 1 : 0;
    if (times !== wanted) problem(`${who}: expected ${wanted} notifications, the simulator has ${times}`);
  }
  for (const key of missing) {
    const [sellerId, orderId] = key.split('\0');
    problem(`order ${orderId} of ${sellerId}: expected ${plan.expected.get(key)}, has not settled`);
  }
  return { problems, problemCount, rejected: inOrder(rejected), notifications };
}

/** By reason, in the order in which the rules look for them. */
function inOrder(rejected: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    rejectReasons.flatMap((reason) => (rejected[reason] ? [[reason, rejected[reason]]] : [])),
  );
}
