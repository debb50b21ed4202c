import { appendFileSync, closeSync, ftruncateSync, openSync, readSync } from 'node:fs';
import type { Notification } from '../gateway.ts';

/** One accepted call as a line of the file holds it. */
export interface Entry {
  at: number;
  /** One character per notification: `d`elivered, `p`ermanent, `r`ecognized, `.` nothing. */
  took: string;
  call: { notifications: Notification[] };
}

/** Where an entry lies in the file. */
export interface Place {
  position: number;
  bytes: number;
}

const newline = 0x0a;
const pieceBytes = 4 * 1024 * 1024;

/**
 * The file that lets an account survive the end of its process: a line of JSON per accepted call, only ever
 * appended to, and never synced to the disk itself.
 *
 * Opening it reads it back, entry by entry. A last line without its end is what a crash left of a call that
 * was never answered: it is cut off.
 */
export class JournalFile {
  readonly #file: number;
  #bytes: number;

  constructor(path: string, read: (entry: Entry, place: Place) => void) {
    this.#file = openSync(path, 'a+');
    this.#bytes = readEntries(this.#file, read);
    ftruncateSync(this.#file, this.#bytes);
  }

  /** Appends one call in one write; `body` is the call's JSON as it came. */
  append(at: number, took: string, body: Buffer): Place {
    const oneLine = body.includes(newline) ? Buffer.from(JSON.stringify(JSON.parse(body.toString()))) : body;
    const line = Buffer.concat([
      Buffer.from(`{"at":${at},"took":"${took}","call":`),
      oneLine,
      Buffer.from('}\n'),
    ]);
    appendFileSync(this.#file, line);
    const place = { position: this.#bytes, bytes: line.length };
    this.#bytes += line.length;
    return place;
  }

  /** Reads one entry again. */
  read({ position, bytes }: Place): Entry {
    const line = Buffer.alloc(bytes);
    readSync(this.#file, line, 0, bytes, position);
    return JSON.parse(line.toString()) as Entry;
  }

  empty(): void {
    ftruncateSync(this.#file, 0);
    this.#bytes = 0;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads in pieces, since a file may be larger than any buffer. Returns how many bytes hold whole entries. */
function readEntries(file: number, read: (entry: Entry, place: Place) => void): number {
  const piece = Buffer.alloc(pieceBytes);
  let begun: Buffer[] = [];
  let kept = 0;
  for (let position = 0; ; ) {
    const got = readSync(file, piece, 0, pieceBytes, position);
    if (got === 0) return kept;
    let start = 0;
    for (let end = piece.indexOf(newline); end >= 0 && end < got; end = piece.indexOf(newline, start)) {
      const entry = JSON.parse(Buffer.concat([...begun, piece.subarray(start, end)]).toString()) as Entry;
      begun = [];
      start = end + 1;
      read(entry, { position: kept, bytes: position + start - kept });
      kept = position + start;
    }
    begun.push(Buffer.from(piece.subarray(start, got)));
    position += got;
  }
}
