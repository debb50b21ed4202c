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
  const { format } = step;
  // By header; a single item stands for itself, since of small notices there are hundreds in a batch.
  const seen = new Map<string, string | Set<string>>();
  const isFirst = (headerKey: string, itemKey: string): boolean => {
    const items = seen.get(headerKey);
    if (items === undefined) seen.set(headerKey, itemKey);
    else if (typeof items !== 'string') return items.size < items.add(itemKey).size;
    else if (items === itemKey) return false;
    else seen.set(headerKey, new Set([items, itemKey]));
    return true;
  };
  const firsts: Entry<Header, Item>[] = [];
  for (const { entries } of parcels)
    for (const entry of entries)
      if (isFirst(format.headerKeyOf(entry.header), format.itemKeyOf(entry.item))) firsts.push(entry);
  return firsts;
}
