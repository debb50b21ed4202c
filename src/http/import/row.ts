import { isShipDate } from '../../rules/dates.ts';
import { type ReasonCode, reasonCodes, type ShipDate } from '../../rules/notice.ts';
import type { RejectedRow } from '../../store/imports.ts';

/** What a row of a file wants of one order. */
export interface OrderRow {
  orderId: string;
  newShipDate: ShipDate;
  reason: ReasonCode;
  detail: string | undefined;
}

/** A row that can be used, or why it can't. */
export type Row = OrderRow | RejectedRow;

export const isRejected = (row: Row): row is RejectedRow => 'expected' in row;

/** What the fields of a row are called where it came from. */
export type FieldNames = Readonly<Record<keyof OrderRow, string>>;

const reasons: ReadonlySet<unknown> = new Set<ReasonCode>(reasonCodes);
// As in schemas.ts. U+FFFD is what bytes become that aren't UTF-8: sent on, customers would read it.
const orderIdShape = /^[^\p{Cc}\p{Cs}\ufffd]{1,100}$/u;
const detailShape = /^[^\p{Cc}\p{Cs}\ufffd]{0,300}$/u;

/**
 * Says what a row lacks to be used, or gives it back with its types; the first thing that is wrong is told.
 *
 * Its fields are as they came: undefined where there is none, and whatever JSON may hold.
 */
export function checkRow(
  names: FieldNames,
  line: number,
  orderId: unknown,
  newShipDate: unknown,
  reason: unknown,
  detail: unknown,
): Row {
  if (typeof orderId !== 'string' || !orderIdShape.test(orderId))
    return { line, orderId: null, expected: expected.orderId, got: got(names.orderId, orderId) };
  if (!isShipDate(newShipDate))
    return { line, orderId, expected: expected.newShipDate, got: got(names.newShipDate, newShipDate) };
  if (!isReason(reason)) return { line, orderId, expected: expected.reason, got: got(names.reason, reason) };
  if (detail === undefined || detail === null || (typeof detail === 'string' && detail.trim() === ''))
    return reason === 'ETC'
      ? { line, orderId, expected: expected.detailOfEtc, got: got(names.detail, undefined) }
      : { orderId, newShipDate, reason, detail: undefined };
  if (typeof detail !== 'string' || !detailShape.test(detail))
    return { line, orderId, expected: expected.detail, got: got(names.detail, detail) };
  return { orderId, newShipDate, reason, detail };
}

const expected = {
  orderId: 'an order id: a text of 1 to 100 characters without control characters, in UTF-8',
  newShipDate: 'a calendar day as YYYY-MM-DD, such as 2026-12-01',
  reason: `one of ${reasonCodes.join(', ')}`,
  detail: 'a text of at most 300 characters without control characters such as line breaks, in UTF-8',
  detailOfEtc: 'a text that tells the reason, because reason is ETC',
};

const isReason = (value: unknown): value is ReasonCode => reasons.has(value);

/** Says what came as a field, short enough to be stored and safe to print. */
function got(name: string, value: unknown): string {
  if (value === undefined || value === null || value === '') return `no ${name}`;
  return `${name} ${shown(value)}`;
}

/** Writes a value short enough to be stored and safe to print: control characters are escaped. */
export function shown(value: unknown): string {
  if (typeof value !== 'string') return cut(JSON.stringify(value) ?? typeof value);
  const characters = value.length > 80 ? ` of ${value.length.toLocaleString('en-US')} characters` : '';
  return `${JSON.stringify(cut(value))}${characters}`;
}

const cut = (text: string) => (text.length > 80 ? `${text.slice(0, 60)}…` : text);
