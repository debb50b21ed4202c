import { dayIn, type Servers } from '../run.ts';
import { sellers } from '../singles.ts';
import type { Mode } from './messages.ts';

/** A contestant whose process is up. */
export interface Running {
  /**
   * Settles the orders `<prefix>-0` and so on, from empty tables on. Returns in how many seconds each was notified.
   */
  settle(prefix: string, count: number): Promise<number>;
  stop(): Promise<void>;
}

/** Starts a contestant, with nothing left of an earlier life. `apiKeys` are those of all sellers. */
export type Contestant = (servers: Servers, apiKeys: readonly string[], mode: Mode) => Promise<Running>;

/** What the notices of all contestants say. */
export const noticeOf = (mode: Mode) => ({
  reason: 'WEATHER' as const,
  newShipDate: dayIn(7),
  ...(mode === 'chunked' && { detail: '장마로 수확이 늦어지고 있습니다.' }),
});

/** How many sellers the orders are dealt out to, the same for all: one order a notice comes from many. */
export const sellersOf = (mode: Mode): number => (mode === 'perOrder' ? sellers : 1);
