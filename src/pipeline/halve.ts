/**
 * Runs `run` over `items`; where it throws an error that `blames` an item, halves the items until the
 * culprit stands alone, so that one bad item never costs its neighbours anything.
 *
 * Returns one result per item, in order: what `run` returned for it, or the error thrown for it alone.
 * Costs about 2·log2(n) runs per culprit. Errors that blame no item are thrown on.
 */
export async function halve<Item, Result>(
  items: readonly Item[],
  run: (items: readonly Item[]) => Promise<Result[]>,
  blames: (error: Error) => boolean,
): Promise<(Result | Culprit)[]> {
  try {
    return await run(items);
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (!blames(error)) throw error;
    if (items.length === 1) return [new Culprit(error)];
    const middle = items.length >> 1;
    return [
      ...(await halve(items.slice(0, middle), run, blames)),
      ...(await halve(items.slice(middle), run, blames)),
    ];
  }
}

/** The one item that an error is about. */
export class Culprit {
  readonly error: Error;
  constructor(error: Error) {
    this.error = error;
  }
}
