import type { Stamp } from './connection.ts';

/** Where things are said; a pino logger fits. */
export interface ZnodeLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** What is written into the znodes of one folder: how it is called, and how it is read. */
export interface ZnodeKind<Definition, Parsed extends object> {
  /** The znodes are at `<root>/<folder>/<name>`. */
  readonly folder: string;
  /** What the log calls one of them and several, and what holds where nothing is written. */
  readonly words: { readonly one: string; readonly many: string; readonly otherwise: string };
  /** Reads a value; throws an error with `problems`, every mistake in a sentence, if it makes no sense. */
  parse(definition: Definition, written: Uint8Array): Parsed;
  /** What holds where nothing is written, as fields of the log. */
  otherwise(definition: Definition): object;
}

/**
 * What happened:
 *
 * - `value`: a new value applies. - `absent`: there is no znode (any more), what holds otherwise applies.
 * - `malformed`: a new value can't be used; told once for each such value. What applied before still does.
 * - `connected`: all values are up to date. - `away`: ZooKeeper can't be had, the last known values stay.
 */
export type ZnodeChange<Parsed extends object> =
  | (Stamp & Parsed & { readonly kind: 'value'; readonly name: string; readonly raw: string })
  | { readonly kind: 'absent'; readonly name: string }
  | MalformedChange
  | { readonly kind: 'connected' }
  | { readonly kind: 'away'; readonly error: string };

interface MalformedChange extends Stamp {
  readonly kind: 'malformed';
  readonly name: string;
  readonly raw: string;
  /** What is wrong with it, every mistake. */
  readonly error: string;
}

/** A znode as a person may want to see it. */
export interface ZnodeStatus<Parsed extends object> {
  /** The znode's text as last read; null if there is none, or none is known. */
  readonly raw: string | null;
  /** The znode's version; `applied` is of an earlier one if this is malformed. */
  readonly version: number | null;
  readonly changedAt: Date | null;
  /** The value that is in use; null if it is what holds otherwise. */
  readonly applied: (Parsed & { readonly version: number }) | null;
  /** Why the znode's value can't be used, couldn't be read, or is lost; null if all is well. */
  readonly error: string | null;
}
