import type { InfrastructureError } from './errors.ts';

/** Some items that travel together under one header, which is never repeated per item. */
export interface Chunk<Header, Item> {
  header: Header;
  items: Item[];
}

/** One item of a batch as an actor sees it. */
export interface Entry<Header, Item> {
  readonly header: Header;
  readonly item: Item;
  /** 1 on the first try. Infrastructure errors don't count. */
  readonly attempt: number;
  /** True if an earlier delivery may have got as far as this one: the process died or lost its connection. */
  readonly redelivered: boolean;
  /** Names the retry that brought it back from failed; it goes with the item until that is settled. */
  readonly retry?: string | undefined;
}

/**
 * What an actor says of one item:
 *
 * - `forward`: goes to the next step (as `item`, if given). In the last step the same as `done`.
 * - `done`: settled here, nothing travels on.
 * - `retriable`: may succeed later; counts an attempt and waits in `<step>.retriable`.
 * - `failed`: can never succeed; goes to `<step>.failed` at once.
 * - `infrastructure`: a server is away; waits in `<step>.retriable`, its attempts unchanged.
 */
export type Answer<Item> =
  | { readonly kind: 'forward'; readonly item?: Item }
  | { readonly kind: 'done' }
  | { readonly kind: 'retriable'; readonly error: Error }
  | { readonly kind: 'failed'; readonly error: Error }
  | { readonly kind: 'infrastructure'; readonly error: InfrastructureError };

export const forward = { kind: 'forward' } as const;
export const forwardAs = <Item>(item: Item) => ({ kind: 'forward', item }) as const;
export const done = { kind: 'done' } as const;
export const retriable = (error: Error) => ({ kind: 'retriable', error }) as const;
export const failed = (error: Error) => ({ kind: 'failed', error }) as const;
export const infrastructure = (error: InfrastructureError) => ({ kind: 'infrastructure', error }) as const;

/** One business step. A file in `src/actors/` exports, as its default, a function that makes one. */
export interface Actor<Header, Item> {
  /**
   * Does the step's work for one batch.
   *
   * It expects at least one entry and never two with the same key; they may belong to different headers.
   * It must return one answer per entry, in the same order, after all it wrote is committed.
   * If it throws an `InfrastructureError`, every entry waits and is tried again with its attempts unchanged.
   * If it throws anything else, the engine halves the batch until the culprit stands alone, so all it
   * wrote before the throw must have been rolled back or be safe to do twice. Entries come at least once.
   */
  run(batch: readonly Entry<Header, Item>[]): Promise<Answer<Item>[]>;
}
