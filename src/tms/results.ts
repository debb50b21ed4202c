import type { Notification, SendResult } from './gateway.ts';

interface RawResult {
  key?: unknown;
  status?: unknown;
  id?: unknown;
  reason?: unknown;
}

/**
 * Reads a gateway's answer `{ results: [{ key, status, id?, reason? }] }` into one result per notification,
 * in the order of `notifications`, whatever the order of the answer.
 *
 * A result that is missing, or has a status we don't know, is `unconfirmed`. Returns undefined if the
 * answer as a whole can't be read (not JSON, cut off, no `results`).
 */
export function readResults(body: string, notifications: readonly Notification[]): SendResult[] | undefined {
  const raw = parseResults(body);
  if (raw === undefined) return undefined;
  let byKey: Map<unknown, RawResult> | undefined;
  return notifications.map(({ key }, i) => {
    let result = raw[i];
    if (result?.key !== key) {
      byKey ??= new Map(raw.filter(isObject).map((each) => [each.key, each]));
      result = byKey.get(key);
    }
    return toSendResult(result);
  });
}

function parseResults(body: string): (RawResult | null)[] | undefined {
  try {
    const parsed = JSON.parse(body) as { results?: unknown } | null;
    return Array.isArray(parsed?.results) ? (parsed.results as (RawResult | null)[]) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const isObject = (value: RawResult | null): value is RawResult => typeof value === 'object' && value !== null;

function toSendResult(result: RawResult | null | undefined): SendResult {
  if (!result) return { status: 'unconfirmed', reason: 'the gateway left this result out' };
  switch (result.status) {
    case 'delivered':
      return { status: 'delivered', gatewayId: words(result.id) ?? '' };
    case 'permanent':
    case 'retriable':
    case 'unconfirmed':
      return { status: result.status, reason: words(result.reason) ?? 'the gateway gave no reason' };
    default:
      return {
        status: 'unconfirmed',
        reason: `the gateway answered a status we don't know: ${words(result.status) ?? 'none'}`,
      };
  }
}

function words(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value).slice(0, 300) : undefined;
}
