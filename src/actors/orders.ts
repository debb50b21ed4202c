import { type Actor, done, failed, retriable } from '../pipeline/actor.ts';
import { MalformedError } from '../pipeline/errors.ts';
import { MalformedEvent } from '../rules/orderEvent.ts';
import type { FeedHeader, FeedItem } from '../rules/orderFormat.ts';
import { takeEvents } from '../store/orderEvents.ts';
import type { Store } from '../store/store.ts';

/** Says that a new status came for an order that nobody has told of; its `order.upserted` may be right behind. */
class UnknownOrderError extends Error {
  override name = 'UnknownOrder';
}

/**
 * Takes in what the shop tells of its orders. In which order its events come does not matter, nor how often: an older
 * one never overwrites a newer one.
 */
export default function orders({ store }: { store: Store }): Actor<FeedHeader, FeedItem> {
  return {
    async run(batch) {
      const events = batch.flatMap(({ item }) => (item instanceof MalformedEvent ? [] : [item]));
      const taken = await takeEvents(store, events);
      let at = 0;
      return batch.map(({ item }) => {
        if (item instanceof MalformedEvent) return failed(new MalformedError(item.problem));
        return taken[at++] ? done : retriable(new UnknownOrderError(unknownOrder));
      });
    },
  };
}

const unknownOrder =
  'an order that is not known has another status: expected its order.upserted before, or soon after';
