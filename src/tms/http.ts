import type { BaseLogger } from 'pino';
import { Pool } from 'undici';
import { InfrastructureError } from '../pipeline/errors.ts';
import { type Exchange, post } from './exchange.ts';
import { type Gateway, GatewayRefused, type Notification, type SendResult } from './gateway.ts';
import { readResults } from './results.ts';
import { readRetryAfter } from './retryAfter.ts';

/** What `httpGateway` must know of the gateway it talks to. */
export interface HttpGatewayOptions {
  /** Where it is, `http:` or `https:`; `/v1/notifications` is put after its path. */
  url: string;
  /** How long one call may take from the first byte sent to the last one received, and connecting as long again, in ms. */
  timeoutMs: number;
  /** How many connections are kept at most; each carries one call at a time. */
  connections: number;
  /** How many notifications it takes at most in one call. */
  maxRecipients: number;
  /** For how long it recognizes a repeated key, in ms; left out if it never does. */
  idempotentForMs?: number | undefined;
  /** Sent as `Authorization: Bearer …`; left out for none. */
  apiKey?: string | undefined;
  /** Told, without phone numbers, of every call whose outcome stays unknown. */
  log?: Pick<BaseLogger, 'warn'> | undefined;
}

/** Answers larger than this are not read on, in bytes; 10,000 results take about 1 MB. */
const maxAnswerBytes = 16 * 1024 * 1024;

/**
 * Makes a gateway that is reached over HTTP; docs/tms.md has the contract.
 *
 * What an answer, or its absence, means:
 *
 * | what came | with `idempotentForMs` | without |
 * |---|---|---|
 * | 200 with results | one result each | the same |
 * | 400, 413 | throws `GatewayRefused` | the same |
 * | 401, 403 | throws `InfrastructureError`, opens the circuit | the same |
 * | 429 | throws `InfrastructureError` | the same |
 * | nothing, and no byte of the call left | throws `InfrastructureError` | the same |
 * | timeout, cut connection, 5xx, unreadable answer | throws `InfrastructureError` | all `unconfirmed` |
 * | any other status | throws `InfrastructureError`, opens the circuit | all `unconfirmed` |
 *
 * Throws if an option makes no sense.
 */
export function httpGateway(options: HttpGatewayOptions): Gateway {
  const base = checked(options);
  const { timeoutMs, maxRecipients, idempotentForMs, apiKey, log } = options;
  const pool = new Pool(base.origin, {
    connections: options.connections,
    pipelining: 1,
    connectTimeout: timeoutMs,
    maxResponseSize: maxAnswerBytes,
  });
  const path = `${base.pathname.replace(/\/+$/, '')}/v1/notifications`;
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  };

  return {
    maxRecipients,
    idempotentForMs,

    async send(notifications) {
      if (notifications.length === 0) return [];
      const body = utf8(JSON.stringify({ notifications }));
      const exchange = await post(pool, { path, headers, body, timeoutMs });
      const results = readOrThrow(exchange, notifications);
      if (results) return results;
      const { message, cause, retryAfterMs, opensCircuit } = unknownOutcome(exchange);
      if (idempotentForMs !== undefined) {
        throw new InfrastructureError(message, { cause, retryAfterMs, opensCircuit });
      }
      log?.warn({ notifications: notifications.length, err: cause }, `outcome unknown: ${message}`);
      return notifications.map(() => ({ status: 'unconfirmed', reason: message }));
    },

    async close() {
      await pool.close();
    },
  };
}

const encoder = new TextEncoder();

/** Writes text as UTF-8; where most of it is Korean, three times quicker than `Buffer.from`. */
function utf8(text: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(3 * text.length);
  return bytes.subarray(0, encoder.encodeInto(text, bytes).written);
}

/** Returns what the gateway definitely did, throws what it definitely did not do, and undefined where one can't know. */
function readOrThrow(exchange: Exchange, notifications: readonly Notification[]): SendResult[] | undefined {
  if (exchange.kind === 'failed') {
    if (exchange.begun) return undefined;
    throw new InfrastructureError(
      `the gateway can't be reached: ${exchange.error.message || codeOf(exchange.error)}`,
      { cause: exchange.error, nothingDone: true },
    );
  }
  const { status, body } = exchange;
  switch (status) {
    case 200:
      return readResults(body, notifications);
    case 400:
    case 413:
      throw new GatewayRefused(`the gateway refused the call with ${status}${quote(body)}`);
    case 401:
    case 403:
      throw new InfrastructureError(
        `the gateway refused our key with ${status}${quote(body)}; put a valid one in the configuration`,
        { opensCircuit: true, nothingDone: true },
      );
    case 429:
      throw new InfrastructureError(`the gateway is busy (429)${quote(body)}`, {
        retryAfterMs: readRetryAfter(exchange.retryAfter),
        nothingDone: true,
      });
    default:
      return undefined;
  }
}

function unknownOutcome(exchange: Exchange) {
  if (exchange.kind === 'failed') {
    const message = `the connection failed before the answer was here: ${exchange.error.message}`;
    return { message, cause: exchange.error, retryAfterMs: undefined, opensCircuit: false };
  }
  const { status, body, retryAfter } = exchange;
  const message =
    status === 200
      ? `expected { results: […] } in the gateway's answer, got something else${quote(body)}`
      : `the gateway answered ${status}${quote(body)}`;
  // A 404 or a redirect means a wrong address: waiting alone won't help, someone must look.
  const opensCircuit = status !== 200 && status !== 408 && status < 500;
  return { message, cause: undefined, retryAfterMs: readRetryAfter(retryAfter), opensCircuit };
}

/** Quotes the beginning of an answer for an error message; long runs of digits may be phone numbers and are left out. */
function quote(body: string): string {
  const text = body
    .slice(0, 1000)
    .replace(/\s+/g, ' ')
    .replace(/\+?\d[\d-]{6,}/g, '…')
    .trim();
  return text === '' ? '' : `: ${text.slice(0, 200)}`;
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name;
}

function checked(options: HttpGatewayOptions): URL {
  const problems: string[] = [];
  const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    problems.push(`url: expected http://… or https://…, got ${options.url}`);
  }
  for (const name of ['timeoutMs', 'connections', 'maxRecipients'] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1) {
      problems.push(`${name}: expected a whole number of at least 1, got ${options[name]}`);
    }
  }
  if (options.apiKey !== undefined && !/^[\x21-\x7e]+$/.test(options.apiKey)) {
    problems.push('apiKey: expected printable ASCII without spaces');
  }
  if (!url || problems.length > 0) throw new Error(`the TMS gateway can't be used: ${problems.join('; ')}`);
  return url;
}
