import { judge, type Limits } from '../rules/judge.ts';
import type { RejectReason, ShipDate } from '../rules/notice.ts';
import { readOrders } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { newNoticeId } from './noticeId.ts';

export interface DryRunOptions {
  store: Store;
  limits: Limits;
  /** The shop's day. */
  today(): ShipDate;
}

export interface Verdicts {
  orders: number;
  duplicates: number;
  counts: { accepted: number; rejected: number };
  /** In the order in which they were asked for. */
  verdicts: { orderId: string; verdict: 'accepted' | 'rejected'; reason?: RejectReason }[];
}

const sliceSize = 2_000;

/** Judges each order as a notice posted now would; stores nothing and tells nobody. */
export async function dryRun(
  options: DryRunOptions,
  request: { sellerId: string; newShipDate: ShipDate; orderIds: readonly string[] },
): Promise<Verdicts> {
  const orderIds = [...new Set(request.orderIds)];
  const { sellerId, newShipDate } = request;
  const notice = { noticeId: newNoticeId(), newShipDate };
  const today = options.today();
  const verdicts: Verdicts['verdicts'] = [];
  for (let from = 0; from < orderIds.length; from += sliceSize) {
    const slice = orderIds.slice(from, from + sliceSize);
    const found = await readOrders(
      options.store,
      slice.map((orderId) => ({ noticeId: notice.noticeId, sellerId, orderId })),
    );
    slice.forEach((orderId, at) => {
      const reason = judge(found[at]?.order, notice, today, options.limits);
      verdicts.push(
        reason === undefined ? { orderId, verdict: 'accepted' } : { orderId, verdict: 'rejected', reason },
      );
    });
  }
  const accepted = verdicts.filter(({ verdict }) => verdict === 'accepted').length;
  return {
    orders: orderIds.length,
    duplicates: request.orderIds.length - orderIds.length,
    counts: { accepted, rejected: orderIds.length - accepted },
    verdicts,
  };
}
