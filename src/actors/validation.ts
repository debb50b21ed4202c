import { type Actor, done, forward } from '../pipeline/actor.ts';
import { judge } from '../rules/judge.ts';
import { type NoticeHeader, type NoticeOrder, wantedDelay } from '../rules/notice.ts';
import type { Services } from '../services.ts';
import { readOrders, type Verdict, writeRejects } from '../store/ledger.ts';

/**
 * Sorts out, before anything is locked, the orders that can't be delayed, and records why.
 *
 * What passes goes on to the delay step, which judges again.
 */
export default function validation({ store, limits, today }: Services): Actor<NoticeHeader, NoticeOrder> {
  return {
    async run(batch) {
      const wanted = batch.map(({ header, item }) => wantedDelay(header, item));
      const found = await readOrders(store, wanted);
      const day = today();
      const rejects: Verdict[] = [];
      const answers = wanted.map((delay, i) => {
        const { state, order } = found[i] ?? {};
        // Delayed already, by a run that may have died before it could tell anybody: told again.
        if (state === 'delayed') return forward;
        if (state !== undefined) return done;
        const rejectReason = judge(order, delay, day, limits);
        if (!rejectReason) return forward;
        rejects.push({ wanted: delay, rejectReason, oldShipDate: order?.expectedShipDate });
        return done;
      });
      await writeRejects(store, rejects);
      return answers;
    },
  };
}
