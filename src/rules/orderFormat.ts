import { MalformedEvent, type OrderEvent, readEvent } from './orderEvent.ts';

/** One event of a message: one that is understood, or one that isn't. */
export type FeedItem = OrderEvent | MalformedEvent;

/** Events share nothing that would be said once for all of them. */
export type FeedHeader = Readonly<Record<string, never>>;

const header: FeedHeader = {};

/**
 * How the shop's messages read: one event, or a list of them (structured and batched mode of CloudEvents, told by the
 * body alone). What waits or fails goes on as such a list.
 *
 * One event that can't be understood stays one item, so that it costs the others of its list nothing. Where none can,
 * the message as a whole is refused, and kept byte for byte.
 */
export const orderFormat = {
  read(content: Buffer): { header: FeedHeader; items: FeedItem[] }[] {
    let body: unknown;
    try {
      body = JSON.parse(content.toString('utf8'));
    } catch (cause) {
      throw new Error(`expected JSON: ${(cause as Error).message}`, { cause });
    }
    if (Array.isArray(body) && body.length === 0) throw new Error('expected a list of at least one event');
    const items = (Array.isArray(body) ? body : [body]).map(readEvent);
    const [first] = items;
    if (first instanceof MalformedEvent && items.every((item) => item instanceof MalformedEvent))
      throw new Error(first.problem);
    return [{ header, items }];
  },
  write: (chunks: readonly { items: readonly FeedItem[] }[]): Buffer =>
    Buffer.from(
      JSON.stringify(
        chunks.flatMap(({ items }) =>
          items.map((item) => (item instanceof MalformedEvent ? item.raw : item)),
        ),
      ),
    ),
  /** A few ten thousand events, which are read and written at once. */
  maxBytes: 4 * 1_024 * 1_024,
  headerKeyOf: () => '',
  itemKeyOf: (item: FeedItem): string => {
    if (item instanceof MalformedEvent) return JSON.stringify(item.raw);
    const { sellerId, orderId, version } = item.data;
    return `${item.type}\n${version}\n${sellerId}\n${orderId}`;
  },
  logFieldsOf: () => ({}),
};

/** Reads the events of a message; throws an error that says what is wrong with it, or with one of them. */
export function orderEventsIn(content: Buffer): OrderEvent[] {
  return orderFormat
    .read(content)
    .flatMap(({ items }) => items)
    .map((item) => {
      if (item instanceof MalformedEvent) throw new Error(item.problem);
      return item;
    });
}
