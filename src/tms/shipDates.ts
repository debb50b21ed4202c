import type { ShipDate } from '../rules/notice.ts';

const dayNames = {
  ko: ['일', '월', '화', '수', '목', '금', '토'],
  en: ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'],
};
const monthNames = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/**
 * Writes a shipping date as a customer reads it: `12월 1일(화)` in Korean, `Tue, 1 December` in every other locale.
 *
 * Throws a `RangeError` if `date` is not a day of the calendar written `YYYY-MM-DD`.
 */
export function writeShipDate(date: ShipDate, locale: string): string {
  const known = written.get(locale)?.get(date);
  if (known !== undefined) return known;
  const text = write(date, locale);
  // A notice has few dates, and a process sees few in a day; one that lives long starts afresh now and then.
  if ((written.get(locale)?.size ?? 0) >= 1_000) written.delete(locale);
  written.set(locale, (written.get(locale) ?? new Map<ShipDate, string>()).set(date, text));
  return text;
}

const written = new Map<string, Map<ShipDate, string>>();

function write(date: ShipDate, locale: string): string {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN;
  const day = new Date(time);
  if (Number.isNaN(time) || day.getUTCDate() !== Number(date.slice(8))) {
    throw new RangeError(`expected a date like 2026-12-01, got ${JSON.stringify(date)}`);
  }
  if (locale === 'ko') {
    return `${day.getUTCMonth() + 1}월 ${day.getUTCDate()}일(${dayNames.ko[day.getUTCDay()]})`;
  }
  return `${dayNames.en[day.getUTCDay()]}, ${day.getUTCDate()} ${monthNames[day.getUTCMonth()]}`;
}
