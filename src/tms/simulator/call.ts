import { transcode } from 'node:buffer';
import type { Notification } from '../gateway.ts';
import type { Faults } from './faults.ts';

/** How many notifications one call may hold if the faults don't say otherwise. */
export const defaultMaxRecipients = 10_000;

/** Says that a call is refused, and with which HTTP status. */
export class RefusedCallError extends Error {
  override name = 'RefusedCallError';
  readonly status: 400 | 413;

  constructor(status: 400 | 413, message: string) {
    super(message);
    this.status = status;
  }
}

const fields = ['key', 'to', 'locale', 'template', 'text'] as const;

/**
 * Reads the body of a call, and checks it by hand: a schema would cost more than all the rest.
 *
 * Throws `RefusedCallError` with 400 if it is not what the contract says, or holds what `faults` refuse, and
 * with 413 if it holds too many notifications.
 */
export function readCall(body: Buffer, faults: Faults): Notification[] {
  const notifications = parse(body);
  const most = faults.maxRecipients ?? defaultMaxRecipients;
  if (notifications.length > most) {
    throw new RefusedCallError(413, `expected at most ${most} notifications, got ${notifications.length}`);
  }
  notifications.forEach((notification: unknown, i) => {
    const value = (notification ?? {}) as Record<string, unknown>;
    for (const field of fields) {
      if (typeof value[field] !== 'string') {
        throw new RefusedCallError(
          400,
          `notifications[${i}].${field}: expected text, got ${typeof value[field]}`,
        );
      }
    }
    if (value.key === '') throw new RefusedCallError(400, `notifications[${i}].key: expected text, got ''`);
  });
  const read = notifications as Notification[];
  refuse(read, faults);
  return read;
}

/** Reads UTF-8; three times quicker than `toString()` where most of it is Korean. */
const textOf = (body: Buffer) => transcode(body, 'utf8', 'utf16le').toString('utf16le');

function parse(body: Buffer): unknown[] {
  let value: { notifications?: unknown } | null;
  try {
    value = JSON.parse(textOf(body)) as typeof value;
  } catch (error) {
    throw new RefusedCallError(
      400,
      `expected JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const notifications = value?.notifications;
  if (!Array.isArray(notifications) || notifications.length === 0) {
    throw new RefusedCallError(400, 'expected { "notifications": [ … ] } with at least one notification');
  }
  return notifications;
}

function refuse(notifications: Notification[], { refuseTo, refuseTexts }: Faults): void {
  if (!refuseTo && !refuseTexts) return;
  const refused = notifications.some(
    ({ to, text }) => refuseTo?.includes(to) || refuseTexts?.some((each) => text.includes(each)),
  );
  if (refused) throw new RefusedCallError(400, 'one of the notifications is one we refuse');
}
