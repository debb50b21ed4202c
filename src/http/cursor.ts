import { invalidRequest } from './problem.ts';

/** Makes the cursor that begins the next page after `key`; opaque to sellers. */
export const cursorAfter = (key: string): string => Buffer.from(key).toString('base64url');

/** Reads a cursor back, or undefined if none was sent; throws the problem `invalid-request` if it isn't one of ours. */
export function keyOfCursor(cursor: string | undefined, shape: RegExp): string | undefined {
  if (cursor === undefined) return undefined;
  const key = Buffer.from(cursor, 'base64url').toString();
  if (shape.test(key)) return key;
  throw invalidRequest([
    {
      parameter: 'cursor',
      expected: 'the nextCursor of the page before, unchanged',
      got: JSON.stringify(cursor.slice(0, 60)),
    },
  ]);
}

/**
 * Cuts a page from rows that were asked for with one more than `limit`: the extra one only tells that there
 * is a next page.
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => string,
  toItem: (row: Row) => Item,
): { items: Item[]; nextCursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? cursorAfter(keyOf(last)) : null;
  return { items: page.map(toItem), nextCursor };
}
