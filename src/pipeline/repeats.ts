import { type Answer, done, type Entry } from './actor.ts';
import type { Parcel, Step } from './step.ts';

/**
 * Knows how the first of entries that are the same thing came out, for those that repeat it. A repeat is done with,
 * unless another retry brought it: that one has to learn that it waits, or fails again.
 */
export function outcomesOfFirsts<Header, Item>(
  { format }: Step<Header, Item>,
  parcels: readonly Parcel<Header, Item>[],
  entries: readonly Entry<Header, Item>[],
): {
  keep(entry: Entry<Header, Item>, outcome: Answer<Item>): void;
  repeated(entry: Entry<Header, Item>): Answer<Item>;
} {
  const known = new Map<string, { outcome: Answer<Item>; retry: string | undefined }>();
  const keyOf = ({ header, item }: Entry<Header, Item>) =>
    JSON.stringify([format.headerKeyOf(header), format.itemKeyOf(item)]);
  // Mostly there are none: then nothing is kept.
  const hasRepeats = parcels.reduce((sum, parcel) => sum + parcel.entries.length, 0) > entries.length;
  return {
    keep(entry, outcome) {
      if (hasRepeats) known.set(keyOf(entry), { outcome, retry: entry.retry });
    },
    repeated(entry) {
      const first = known.get(keyOf(entry));
      if (!first || first.retry === entry.retry || first.outcome.kind === 'forward') return done;
      return first.outcome;
    },
  };
}

/** Keeps the first of entries that are the same thing: a message may have come twice. */
export function withoutRepeats<Header, Item>(
  step: Step<Header, Item>,
  parcels: readonly Parcel<Header, Item>[],
): Entry<Header, Item>[] {
  const seen = new Map<string, Set<string>>();
  const { format } = step;
  let last: { header: Header; items: Set<string> } | undefined; // neighbours have one header, mostly
  return parcels.flatMap(({ entries }) =>
    entries.filter(({ header, item }) => {
      if (last?.header !== header) {
        const headerKey = format.headerKeyOf(header);
        const items = seen.get(headerKey) ?? new Set();
        seen.set(headerKey, items);
        last = { header, items };
      }
      const { items } = last;
      return items.size < items.add(format.itemKeyOf(item)).size;
    }),
  );
}
