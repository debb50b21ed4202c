import { isShipDate, today } from '../rules/dates.ts';
import type { ShipDate } from '../rules/notice.ts';
import type { OrderRow } from '../store/orders.ts';

/** The fields of a row by our names; empty where the file has nothing. */
export type Fields = Readonly<Record<string, string | undefined>>;

/** What a reader may want to know besides the row. */
export interface RowContext {
  /** The day it is for the shop. */
  today: ShipDate;
  /** The shop's, an IANA name. */
  timeZone: string;
  /** Country code for phone numbers that begin with 0; undefined: they stay as they are. */
  phoneCountry: string | undefined;
  /** Of customers whose own isn't known. */
  locale: string;
}

/** What a row says. */
export interface ReadRow {
  order: OrderRow;
  /** The date to which its seller should have posted a delay notice, where an adapter knows. */
  newShipDate?: ShipDate;
}

/** Makes an order of a row; the adapter of a mapping. */
export interface RowReader {
  /** Fields that a mapping must have. */
  needs: readonly string[];
  /** Fields that it may have. */
  takes: readonly string[];
  /** True if it can tell of late orders when they should have been announced for. */
  knowsDelays: boolean;
  /** Expects the fields trimmed; throws `BadField` if the row can't be used. */
  read(fields: Fields, context: RowContext): ReadRow;
}

/** Says what is wrong with one field of a row. */
export class BadField extends Error {
  override name = 'BadField';
  readonly field: string;
  /** `problem` completes the sentence `<column>: …`. */
  constructor(field: string, problem: string) {
    super(problem);
    this.field = field;
  }
}

/** Reads an id of an order or seller as the API takes it: 1 to 100 characters, none of them a control character. */
export function idOf(fields: Fields, field: string): string {
  const value = fields[field] ?? '';
  if (value === '') throw new BadField(field, 'missing');
  if (!/^[^\p{Cc}\p{Cs}]{1,100}$/u.test(value))
    throw new BadField(field, `expected 1 to 100 characters without line breaks, got ${shown(value)}`);
  return value;
}

const dayAndTime =
  /^(\d{4})[-./](\d{2})[-./](\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?)?$/;

/** A time of the shop's clock, `YYYY-MM-DDTHH:MM:SS`: no zone, so that two of them can be compared. */
export function localTimeOf(fields: Fields, field: string, timeZone: string): string {
  const value = fields[field] ?? '';
  if (value === '') throw new BadField(field, 'missing');
  const [, year, month, day, time, zone] = dayAndTime.exec(value) ?? [];
  const date = `${year}-${month}-${day}`;
  const local = `${date}T${(time ?? '00:00').padEnd(8, ':00')}`;
  const moment = Date.parse(`${local}${zone?.replace(/(\d{2})(\d{2})$/, '$1:$2') ?? 'Z'}`);
  if (!isShipDate(date) || Number.isNaN(moment))
    throw new BadField(
      field,
      `expected a day such as 2026-12-01, with or without a time, got ${shown(value)}`,
    );
  if (zone === undefined) return local;
  return `${today(() => new Date(moment), timeZone)}T${clockOf(moment, timeZone)}`;
}

const clockOf = (moment: number, timeZone: string) =>
  new Date(moment).toLocaleTimeString('en-GB', { timeZone, hourCycle: 'h23' });

/** Reads a day of the shop's calendar; of a time, its day (of one with a zone, its day in the shop's). */
export function dayOf(fields: Fields, field: string, timeZone: string): ShipDate {
  const value = fields[field] ?? '';
  return isShipDate(value) ? value : localTimeOf(fields, field, timeZone).slice(0, 10);
}

/**
 * Writes a phone number as E.164 if that can be told: without blanks and dashes, 0… with the country's code.
 *
 * Anything else stays as it is: that customer can't be told of a delay, and the ledger will say so.
 */
export function phoneOf(fields: Fields, { phoneCountry }: RowContext): string {
  const digits = (fields['phone'] ?? '').replaceAll(/[\s().-]/g, '');
  return phoneCountry !== undefined && digits.startsWith('0') ? `+${phoneCountry}${digits.slice(1)}` : digits;
}

/** Quotes a value in a sentence, not too much of it. */
export const shown = (value: string) => JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
