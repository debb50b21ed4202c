import type { ShipDate } from './notice.ts';

const dayMs = 86_400_000;
const shape = /^\d{4}-\d{2}-\d{2}$/;
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Formats are costly to build and cheap to use: one per time zone, for good. */
const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * Tells which day it is for the shop, whatever zone this machine is in.
 *
 * `timeZone` is an IANA name such as `Asia/Seoul`; throws a `RangeError` if there is none of that name.
 */
export function today(clock: () => Date, timeZone: string): ShipDate {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat('en', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
    formats.set(timeZone, format);
  }
  const parts = new Map(format.formatToParts(clock()).map(({ type, value }) => [type, value]));
  return `${parts.get('year')?.padStart(4, '0')}-${parts.get('month')}-${parts.get('day')}`;
}

/** Tells whether `value` is a day of the calendar, written `YYYY-MM-DD`: `2026-02-30` is not. */
export function isShipDate(value: unknown): value is ShipDate {
  if (typeof value !== 'string' || !shape.test(value)) return false;
  const year = Number(value.slice(0, 4));
  const month = Number(value.slice(5, 7));
  const day = Number(value.slice(8));
  if (year === 0 || month === 0 || day === 0) return false;
  if (month === 2) return day <= (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28);
  return day <= (monthDays[month - 1] ?? 0);
}

/** Tells how many days lie between two days; negative if `to` is the earlier. No time zone has a say. */
export function daysBetween(from: ShipDate, to: ShipDate): number {
  return (Date.parse(to) - Date.parse(from)) / dayMs;
}

/** Moves a day by whole days, backwards if `days` is negative. No time zone has a say. */
export function addDays(date: ShipDate, days: number): ShipDate {
  return new Date(Date.parse(date) + days * dayMs).toISOString().slice(0, 10);
}
