import { type Actor, done, forward, forwardAs } from '../pipeline/actor.ts';
import { judge } from '../rules/judge.ts';
import { type NoticeHeader, type NoticeOrder, type WantedDelay, wantedDelay } from '../rules/notice.ts';
import type { Services } from '../services.ts';
import { type Reject, readOrders, writeRejects } from '../store/ledger.ts';

/**
 * Sorts out, before anything is locked, the orders that can't be delayed, and records why.
 *
 * What passes goes on to the delay step with the version of the order that was judged.
 */
export default function validation({ store, limits, today }: Services): Actor<NoticeHeader, NoticeOrder> {
  return {
    async run(batch) {
      const wanted = batch.map(({ header, item }) => wantedDelay(header, item));
      const found = await readOrders(store, wanted);
      const day = today();
      const rejects: Reject[] = [];
      const answers = batch.map(({ item }, i) => {
        const { state, order, version } = found[i] ?? {};
        // Delayed already, by a run that may have died before it could tell anybody: told again.
        if (state === 'delayed') return forward;
        if (state !== undefined) return done;
        const delay = wanted[i] as WantedDelay;
        const rejectReason = judge(order, delay, day, limits);
        if (!rejectReason) return version === undefined ? forward : forwardAs(ofVersion(item, version));
        rejects.push({ wanted: delay, rejectReason, oldShipDate: order?.expectedShipDate });
        return done;
      });
      await writeRejects(store, rejects);
      return answers;
    },
  };
}

/**
 * Says which version of the order was judged. Most items are nothing but their order: written out, since V8 takes far
 * longer for a spread.
 */
function ofVersion(item: NoticeOrder, version: string): NoticeOrder {
  for (const name in item) if (name !== 'orderId' && name !== 'version') return { ...item, version };
  return { orderId: item.orderId, version };
}
