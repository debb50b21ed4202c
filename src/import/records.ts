/** One record of a CSV as it stands in the file. */
export interface RawRecord {
  /** The number of its first line, from 1. */
  line: number;
  /** All of it, without the line end; several lines where a quoted field holds line breaks. */
  text: string;
  /** Why it can't be read, if it can't. */
  problem?: string;
}

/** A quote that isn't closed within so many characters is a mistake in its line, not the start of a long field. */
const longestQuoted = 65_536;
/** No text file has longer lines: in characters. */
const longestLine = 1_048_576;

interface OpenRecord {
  line: number;
  lines: string[];
  length: number;
}

/**
 * Cuts a CSV into its records, some thousands at a time, whatever the chunks it comes in; empty lines are left out.
 *
 * Knows no more of CSV than where a record ends (RFC 4180: a quoted field may hold line breaks), so that each
 * record keeps its line number and its text, and a quote that is never closed spoils one line, not the rest of
 * the file. Holds one chunk and at most 65,536 characters of an unfinished record. Throws if a line is longer
 * than a million characters: no CSV then.
 */
export async function* splitRecords(
  chunks: AsyncIterable<string>,
  delimiter: string,
): AsyncGenerator<RawRecord[]> {
  let rest = '';
  let line = 0;
  let open: OpenRecord | undefined;

  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine)
      throw new Error(
        `Line ${line + lines.length + 1} goes on for over a million characters: is this a CSV?`,
      );
    const records = take(lines);
    if (records.length > 0) yield records;
  }
  const records = take([rest]);
  while (open) records.push(...giveUp(open));
  if (records.length > 0) yield records;

  function take(lines: string[]): RawRecord[] {
    const records: RawRecord[] = [];
    for (const text of lines) {
      line++;
      if (!open && !text.includes('"')) add(records, line, text);
      else records.push(...continueWith(text, line));
    }
    return records;
  }

  function continueWith(text: string, line: number): RawRecord[] {
    const stillOpen = leavesQuoteOpen(text, delimiter, open !== undefined);
    open ??= { line, lines: [], length: 0 };
    open.lines.push(text);
    open.length += text.length + 1;
    if (stillOpen) return open.length > longestQuoted ? giveUp(open) : [];
    const records: RawRecord[] = [];
    add(records, open.line, open.lines.join('\n'));
    open = undefined;
    return records;
  }

  /** Takes the first line of an unfinished record for broken, and begins again behind it. */
  function giveUp(unfinished: OpenRecord): RawRecord[] {
    const [first = '', ...others] = unfinished.lines;
    const problem = 'a quote is opened and never closed';
    const records: RawRecord[] = [{ line: unfinished.line, text: withoutReturn(first), problem }];
    open = undefined;
    others.forEach((text, i) => {
      records.push(...continueWith(text, unfinished.line + 1 + i));
    });
    return records;
  }
}

function add(records: RawRecord[], line: number, ended: string): void {
  const text = withoutReturn(ended);
  if (text.trim() !== '') records.push({ line, text });
}

const withoutReturn = (text: string) => (text.endsWith('\r') ? text.slice(0, -1) : text);

/**
 * Tells whether a quoted field is open at the end of a line, given whether one was at its start.
 *
 * A quote opens a field only as its first character; elsewhere in an unquoted field it is text (`5" pipe`).
 */
function leavesQuoteOpen(text: string, delimiter: string, open: boolean): boolean {
  let quoted = open;
  for (let at = 0; ; ) {
    if (!quoted) {
      if (text[at] !== '"') {
        const next = text.indexOf(delimiter, at);
        if (next < 0) return false;
        at = next + 1;
        continue;
      }
      at++;
    }
    const quote = text.indexOf('"', at);
    if (quote < 0) return true;
    quoted = text[quote + 1] === '"';
    at = quote + (quoted ? 2 : 1);
    if (quoted) continue;
    const next = text.indexOf(delimiter, at);
    if (next < 0) return false;
    at = next + 1;
  }
}
