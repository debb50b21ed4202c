import { masked, maskedWhole } from '../masking.ts';
import { headerNames } from '../pipeline/message.ts';
import type { ListedFailure, RecordedFailure } from '../store/failures.ts';

/** A failure with its message, as it is shown. */
export interface FailureView extends ListedFailure {
  errorStack: string | null;
  /** The message's headers, but for those that are fields here already. */
  headers: Record<string, unknown>;
  /** The message: JSON where it is JSON, else a text, or `base64:…` where it is none. */
  body: unknown;
  /** Whether personal data is shown. */
  revealed: boolean;
}

/** Shows a failure as it stands in lists, with personal data masked. */
export const maskedFailure = <Failure extends ListedFailure>(failure: Failure): Failure => ({
  ...failure,
  errorMessage: masked(failure.errorMessage),
});

/**
 * Shows a failure with its message. Personal data is masked unless it is `revealed`, which somebody must be allowed
 * to, and which is to be recorded: the details that sellers wrote as a whole, phone numbers and mail addresses wherever
 * they stand.
 */
export function viewOf(failure: RecordedFailure, { revealed }: { revealed: boolean }): FailureView {
  const show = revealed ? (text: string) => text : masked;
  const own = new Set<string>([headerNames.errorMessage, headerNames.errorStack, headerNames.errorClass]);
  const headers = Object.entries(failure.headers).filter(([name]) => !own.has(name));
  return {
    ...failure,
    errorMessage: show(failure.errorMessage),
    errorStack: failure.errorStack === null ? null : show(failure.errorStack),
    headers: Object.fromEntries(headers),
    body: bodyOf(failure.body, revealed),
    revealed,
  };
}

function bodyOf(body: Buffer, revealed: boolean): unknown {
  const text = textOf(body);
  if (text === undefined) return revealed ? `base64:${body.toString('base64')}` : `… (${body.length} bytes)`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return revealed ? text : masked(text); // not JSON: shown as it is
  }
  return revealed ? value : maskedValue(value);
}

/** The text that bytes are in UTF-8; undefined if they are none. */
export function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** What people wrote, or what names them: masked as a whole. */
const written: ReadonlySet<string | undefined> = new Set(['detail', 'customerName']);

function maskedValue(value: unknown, name?: string): unknown {
  if (typeof value === 'string') return written.has(name) ? maskedWhole(value) : masked(value);
  if (Array.isArray(value)) return value.map((each) => maskedValue(each));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [masked(key), maskedValue(each, key)]),
  );
}
