/** Writes a text as Postgres can keep it: it takes neither NUL nor half a surrogate pair, which become U+FFFD. */
export const storable = <T extends string | undefined | null>(text: T): T =>
  (typeof text === 'string' ? text.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd') : text) as T;

/** Writes JSON as `jsonb` can keep it, which takes neither of them as escapes. */
export const storableJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll(/\\u(0000|d[89a-f][0-9a-f]{2})/gi, '\\ufffd');
