import { type Actor, done, forward } from '../pipeline/actor.ts';
import { type NoticeHeader, type NoticeOrder, wantedDelay } from '../rules/notice.ts';
import type { Services } from '../services.ts';
import { delayOrders } from '../store/delay.ts';

/** Gives orders their new date, and the ledger its row, unless something speaks against it by now. */
export default function delay({ store, limits, today }: Services): Actor<NoticeHeader, NoticeOrder> {
  return {
    async run(batch) {
      const wanted = batch.map(({ header, item }) => wantedDelay(header, item));
      const outcomes = await delayOrders(store, wanted, today(), limits);
      return outcomes.map((outcome) => (outcome === 'delayed' ? forward : done));
    },
  };
}
