import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { Reject } from './read.ts';

/** Where the rows that can't be used are written. */
export interface RejectsFile {
  add(rejects: readonly Reject[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Prepares a CSV of rejected rows, `line,reason,row`: each with its line number, what is wrong with it, and as it stands.
 *
 * The file is made, in place of one that may be there, when there is a first row to write. Only its owner can
 * read it: rows have customers' names and numbers.
 */
export function rejectsFile(path: string): RejectsFile {
  let stream: WriteStream | undefined;
  return {
    async add(rejects) {
      if (rejects.length === 0) return;
      if (!stream) {
        stream = createWriteStream(path, { mode: 0o600 });
        await once(stream, 'open');
        stream.write('line,reason,row\n');
      }
      const lines = rejects.map(({ line, reason, row }) => `${line},${quote(reason)},${quote(row)}\n`);
      if (!stream.write(lines.join(''))) await once(stream, 'drain');
    },
    async close() {
      if (!stream) return;
      stream.end();
      await finished(stream);
    },
  };
}

// The row stays as it is, also where a spreadsheet would take it for a formula: it is there to be mended.
const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
