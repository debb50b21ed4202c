import type { ReasonCode } from '../../src/rules/notice.ts';

/** How the orders get to the steps: a job is one order, or 500 of them. */
export type Mode = 'perOrder' | 'chunked';

/** The orders of a run, as `OrderSet` of bench/orders.ts names them, and the notices that delay them. */
export interface Orders {
  prefix: string;
  count: number;
  sellers: number;
  /** Orders in a job. */
  perJob: number;
  notice: { reason: ReasonCode; newShipDate: string; detail?: string };
}

/** What the benchmark tells a peer's process: to make the jobs of a run, and then to put them into its queue. */
export type Asked = { kind: 'prepare'; orders: Orders } | { kind: 'enqueue' };

/** What a peer's process answers. */
export type Told = { kind: 'ready' } | { kind: 'prepared' } | { kind: 'enqueued' };
