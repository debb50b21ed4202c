/** Says in words how long that is: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1_000);
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const first = units.findIndex(([count]) => count > 0);
  return units
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** Says how many of something there are: `1 message`, `2 messages`. */
export const counted = (count: number, one: string, many = `${one}s`) =>
  `${count} ${count === 1 ? one : many}`;

/** Says how far a clock is from the one of this machine; `skewMs` is positive where it is ahead. */
export const ahead = (skewMs: number) =>
  `${duration(Math.abs(skewMs))} ${skewMs < 0 ? 'behind' : 'ahead of'} the clock of this machine`;

/**
 * Says why something failed, in one line; what Node and `fetch` wrap into another error is taken out of it.
 *
 * Refused on both ::1 and 127.0.0.1 comes as an error without a message.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  if (error.message === 'fetch failed' && error.cause !== undefined) return reasonOf(error.cause);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return error.message.trim().split('\n')[0] || code;
}

/** Takes the passwords out of URLs, wherever they stand in a text. */
export const withoutPasswords = (text: string) =>
  text.replaceAll(/(\w+:\/\/[^:@/\s"]*):[^@/\s"]+@/g, '$1:…@');
