import { appendFileSync, closeSync, existsSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import type { Notification } from '../gateway.ts';

/** One accepted call as a line of the file holds it. */
export interface Entry {
  at: number;
  /** One character per notification: `d`elivered, `p`ermanent, `r`ecognized, `.` nothing. */
  took: string;
  call: { notifications: Notification[] };
}

const newline = 0x0a;

/**
 * The file that lets an account survive the end of its process: a line of JSON per accepted call, only ever
 * appended to, and never synced to the disk itself.
 *
 * Opening it reads it back, entry by entry. A last line without its end is what a crash left of a call that
 * was never answered: it is cut off.
 */
export class JournalFile {
  readonly #file: number;

  constructor(path: string, read: (entry: Entry) => void) {
    const kept = existsSync(path) ? readEntries(readFileSync(path), read) : 0;
    this.#file = openSync(path, 'a');
    ftruncateSync(this.#file, kept);
  }

  /** Appends one call in one write; `body` is the call's JSON as it came. */
  append(at: number, took: string, body: Buffer): void {
    const oneLine = body.includes(newline) ? Buffer.from(JSON.stringify(JSON.parse(body.toString()))) : body;
    const line = Buffer.concat([
      Buffer.from(`{"at":${at},"took":"${took}","call":`),
      oneLine,
      Buffer.from('}\n'),
    ]);
    appendFileSync(this.#file, line);
  }

  empty(): void {
    ftruncateSync(this.#file, 0);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Returns how many bytes hold whole entries. */
function readEntries(content: Buffer, read: (entry: Entry) => void): number {
  let start = 0;
  for (let end = content.indexOf(newline); end >= 0; end = content.indexOf(newline, start)) {
    read(JSON.parse(content.toString('utf8', start, end)) as Entry);
    start = end + 1;
  }
  return start;
}
