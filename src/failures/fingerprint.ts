import { createHash } from 'node:crypto';

/** What failures of one kind have in common. */
export interface FailureKind {
  /** Names the kind, the same in every process and version that fails alike; 16 hexadecimal digits. */
  fingerprint: string;
  /** The first line of code of ours that the error passed, such as `judge (rules/judge)`; null if none is known. */
  frame: string | null;
  /** The error's message without what differs from one failure to the next. */
  message: string;
}

/** What a kind is made out from. */
export interface Failed {
  step: string;
  errorClass: string;
  errorMessage: string;
  errorStack: string | undefined;
}

/**
 * Tells which kind of failure this is: same step, same class of error, same place in our code, same message but for
 * ids and numbers. Line numbers don't count, so that a new version doesn't make new kinds of the old failures.
 */
export function kindOf({ step, errorClass, errorMessage, errorStack }: Failed): FailureKind {
  const frame = ownFrame(errorStack ?? '');
  const message = withoutIds(errorMessage);
  const text = JSON.stringify([step, errorClass, frame, message]);
  return { fingerprint: createHash('sha256').update(text).digest('hex').slice(0, 16), frame, message };
}

const longest = 300;

/** Takes every word with a digit in it out of a message: ids, dates, numbers, addresses. */
export function withoutIds(message: string): string {
  // Cut first: what follows looks at each letter again for each word it begins.
  const firstLine = message.slice(0, 2_000).split('\n', 1)[0] ?? '';
  const kept = firstLine.replaceAll(/[\p{L}\p{N}_:.+-]*\p{N}[\p{L}\p{N}_:.+-]*/gu, '#');
  return kept.length <= longest ? kept : `${kept.slice(0, longest)}…`;
}

/** A line of a stack in a file of `src/` or `dist/` of ours: the name of the function, if it has one, and the file. */
const ours =
  /^\s+at (?:async )?(?:(.+?) \()?(?:file:\/\/)?\/(?:(?!node_modules).)*?\/(?:src|dist)\/([\w./-]+?)\.[jt]s:\d+:\d+\)?$/mu;

function ownFrame(stack: string): string | null {
  const [, name, file] = ours.exec(stack) ?? [];
  if (file === undefined) return null;
  return name === undefined ? file : `${name} (${file})`;
}
