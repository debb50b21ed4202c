import type { LedgerState } from '../store/ledger.ts';
import type { Checked } from './check.ts';

/** What a run of the demo came to; `chodang demo --json` prints it, with `addresses`. */
export interface Outcome {
  /** Where the orders came from: a file, or `generated`. */
  orders: { from: string; loaded: number; sellers: number; rejectedRows: number };
  notices: number;
  /** Distinct sellers who posted. */
  postedBy: number;
  /** How many notices took which path. */
  paths: Record<string, number>;
  /** Orders of the notices that were accepted. */
  accepted: number;
  /** Orders by state; rejected ones also by reason. */
  counts: Record<LedgerState, number>;
  rejected: Checked['rejected'];
  /** From the first request sent to the last row settled in the ledger. */
  seconds: number;
  /** From the first request sent to the last 202. */
  acceptSeconds: number;
  ordersPerSecond: number;
  /** Delivered by the simulator for these notices. */
  notifications: number;
  asExpected: boolean;
  problems: string[];
  problemCount: number;
}

const n = (value: number) => value.toLocaleString('en-US').padStart(9);

/** Writes an outcome as a table for people. */
export function tableOf(outcome: Outcome): string {
  const { orders, counts, rejected } = outcome;
  const paths = Object.entries(outcome.paths);
  const rejectedRows = orders.rejectedRows > 0 ? `, ${n(orders.rejectedRows).trim()} rows not usable` : '';
  const lines: [string, string][] = [
    [
      'orders loaded',
      `${n(orders.loaded)}  of ${n(orders.sellers).trim()} sellers, ${orders.from}${rejectedRows}`,
    ],
    [
      'notices',
      `${n(outcome.notices)}  by ${n(outcome.postedBy).trim()} seller${outcome.postedBy === 1 ? '' : 's'}`,
    ],
    [
      'path',
      paths
        .map(([path, notices]) => (paths.length > 1 ? `${path} ${notices}` : path))
        .join(', ')
        .padStart(9),
    ],
    ['accepted', n(outcome.accepted)],
    ['rejected', n(counts.rejected)],
    ...Object.entries(rejected).map(([reason, count]): [string, string] => [`  ${reason}`, n(count)]),
    ['notified', `${n(counts.notified)}  ${n(outcome.notifications).trim()} notifications at the simulator`],
    ['undeliverable', n(counts.undeliverable)],
    ['unconfirmed', n(counts.unconfirmed)],
    ['failed', n(counts.failed)],
    [
      'seconds',
      `${outcome.seconds.toFixed(2).padStart(9)}  from the first request to the last row of the ledger`,
    ],
    ['orders per second', n(Math.round(outcome.ordersPerSecond))],
  ];
  const table = lines.map(([name, value]) => `  ${name.padEnd(22)}${value}\n`).join('');
  return `\n${table}\n${verdictOf(outcome)}`;
}

function verdictOf({ asExpected, problems, problemCount }: Outcome): string {
  if (asExpected)
    return 'Every order settled as expected, and every customer who had to be told was told exactly once.\n';
  const shown = problems.slice(0, 10).map((problem) => `  ${problem}\n`);
  const more = problemCount > shown.length ? `  … and ${problemCount - shown.length} more\n` : '';
  return `NOT as expected:\n${shown.join('')}${more}`;
}
