import { isShipDate } from './dates.ts';
import { type NoticeHeader, type NoticeOrder, type ReasonCode, reasonCodes } from './notice.ts';

/** A notice's header and some of its orders, as they travel. */
export interface NoticeChunk {
  header: NoticeHeader;
  items: NoticeOrder[];
}

type Check = { readonly expected: string; readonly holds: (value: unknown) => boolean };

/** A map, not an object: a field called `constructor` is unknown like any other. */
function checks<T>(fields: Record<keyof T, Check>): ReadonlyMap<string, Check> {
  return new Map(Object.entries<Check>(fields));
}

const reasons: ReadonlySet<unknown> = new Set<ReasonCode>(reasonCodes);
const text: Check = { expected: 'a string', holds: (value) => typeof value === 'string' };
const id: Check = {
  expected: 'a non-empty string',
  holds: (value) => typeof value === 'string' && value !== '',
};
const date: Check = { expected: 'a day as YYYY-MM-DD', holds: isShipDate };
const reason: Check = { expected: `one of ${reasonCodes.join(', ')}`, holds: (value) => reasons.has(value) };
const noticeId: Check = {
  expected: 'a UUID in lower case',
  holds: (value) => typeof value === 'string' && /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(value),
};
const version: Check = {
  expected: 'a number as text',
  holds: (value) => typeof value === 'string' && /^\d{1,10}$/.test(value),
};

const headerFields = checks<NoticeHeader>({
  noticeId,
  sellerId: id,
  path: id,
  reason,
  detail: text,
  newShipDate: date,
  traceparent: text,
});
const neededInHeader = ['noticeId', 'sellerId', 'path', 'reason', 'newShipDate'] as const;

const orderFields = checks<NoticeOrder>({
  orderId: id,
  newShipDate: date,
  reason,
  detail: text,
  version,
});
const neededInOrder = ['orderId'] as const;

/**
 * Reads a chunk of unknown shape, as it came from a message or from `intake`.
 *
 * Throws a `TypeError` that names the field, what was expected and what came. A field that is not known is
 * refused, since dropping it would lose what a newer version of us meant to say. Length limits are not looked
 * at here: they are for people, at the API.
 */
export function parseChunk(value: unknown): NoticeChunk {
  if (!isRecord(value)) throw wrong('chunk', 'an object { header, items }', value);
  for (const name in value) if (name !== 'header' && name !== 'items') throw unknown(name, 'header, items');
  const { header, items } = value;
  checkFields('header', header, headerFields, neededInHeader);
  if (!Array.isArray(items) || items.length === 0)
    throw wrong('items', 'a list of at least one order', items);
  items.forEach((item, at) => checkFields('items', item, orderFields, neededInOrder, at));
  return { header: header as NoticeHeader, items: items as NoticeOrder[] };
}

/** How messages about notices read: what the pipeline needs to know of them, and no more. */
export const noticeFormat = {
  parseChunk,
  headerKeyOf: (header: NoticeHeader) => header.noticeId,
  itemKeyOf: (item: NoticeOrder) => item.orderId,
  logFieldsOf: (header: NoticeHeader) => ({ noticeId: header.noticeId, sellerId: header.sellerId }),
};

function checkFields(
  name: string,
  value: unknown,
  fields: ReadonlyMap<string, Check>,
  needed: readonly string[],
  at?: number,
): void {
  // Built only when something is wrong: a batch has thousands of fields.
  const path = () => (at === undefined ? name : `${name}[${at}]`);
  if (!isRecord(value)) throw wrong(path(), 'an object', value);
  for (const field in value) {
    const check = fields.get(field);
    if (!check) throw unknown(`${path()}.${field}`, [...fields.keys()].join(', '));
    if (!check.holds(value[field])) throw wrong(`${path()}.${field}`, check.expected, value[field]);
  }
  for (const field of needed)
    if (value[field] === undefined)
      throw wrong(`${path()}.${field}`, fields.get(field)?.expected ?? 'a value', undefined);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function wrong(path: string, expected: string, got: unknown): TypeError {
  const shown = got === undefined ? 'nothing' : JSON.stringify(got);
  return new TypeError(
    `${path}: expected ${expected}, got ${shown.length > 80 ? `${shown.slice(0, 80)}…` : shown}`,
  );
}

const unknown = (path: string, known: string) =>
  new TypeError(`${path}: unknown field (known: ${known}); was this written by a newer version of Chodang?`);
