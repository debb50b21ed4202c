/** The longest wait that a server's `Retry-After` can ask of us, in ms. */
export const longestRetryAfterMs = 5 * 60_000;

/**
 * Reads a `Retry-After` header, seconds or an HTTP date (RFC 9110, 10.2.3), as ms from `now`.
 *
 * Never less than 0, never more than `longestRetryAfterMs`; undefined if there is none or it can't be read.
 */
export function readRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  const text = header?.trim() ?? '';
  // Date.parse takes almost anything for a date, even "-5"; an HTTP date begins with the day of the week.
  const waitMs = /^\d+$/.test(text)
    ? Number(text) * 1000
    : /^[A-Z][a-z]{2,8},? /.test(text)
      ? Date.parse(text) - now
      : Number.NaN;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), longestRetryAfterMs);
}
