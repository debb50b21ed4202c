import type { NoticeProgress } from '../store/notices.ts';
import type { AcceptedNotice } from './intake.ts';
import type { ProblemDocument } from './problem.ts';

/** A seller's way to the API. */
export interface ClientOptions {
  /** Where the API is, `http://host:port`. */
  url: string;
  /** The seller's. */
  apiKey: string;
  /** How long a request may take, in ms; default 60,000. */
  timeoutMs?: number;
}

/** The body of `POST /v1/delay-notices`. Nothing is checked here: the API says best what is wrong. */
export interface NoticeBody {
  reason: string;
  detail?: string | undefined;
  newShipDate: string;
  orderIds: readonly string[];
}

/** A notice's progress as the API tells it: times are ISO 8601. */
export type ToldProgress = Omit<NoticeProgress, 'acceptedAt' | 'settledAt'> & {
  acceptedAt: string;
  settledAt: string | null;
};

/** Says that the API did not do what it was asked, in the sentences of its problem document. */
export class RefusedByApi extends Error {
  override name = 'RefusedByApi';
  readonly status: number;
  /** What to wait before the same request may succeed, in seconds; undefined if it never will. */
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, status: number, retryAfterSeconds: number | undefined) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Says that nobody answered at the address of the API. */
export class ApiAway extends Error {
  override name = 'ApiAway';
}

/**
 * Posts a delay notice; resolves once it is stored. The same `idempotencyKey` may be sent again, and is answered alike.
 *
 * Throws `RefusedByApi` or `ApiAway`.
 */
export async function postNotice(
  options: ClientOptions & { idempotencyKey?: string | undefined },
  notice: NoticeBody,
): Promise<AcceptedNotice> {
  const { idempotencyKey } = options;
  return call(options, '/v1/delay-notices', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    body: JSON.stringify(notice),
  }) as Promise<AcceptedNotice>;
}

/** Reads how far a notice is. Throws `RefusedByApi` or `ApiAway`. */
export async function readNotice(options: ClientOptions, noticeId: string): Promise<ToldProgress> {
  return call(options, `/v1/delay-notices/${encodeURIComponent(noticeId)}`, {}) as Promise<ToldProgress>;
}

async function call(
  { url, apiKey, timeoutMs = 60_000 }: ClientOptions,
  path: string,
  request: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> },
): Promise<unknown> {
  const address = new URL(path, url);
  let response: Response;
  let body: string;
  try {
    response = await fetch(address, {
      ...request,
      headers: { ...request.headers, authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(timeoutMs),
    });
    body = await response.text();
  } catch (error) {
    throw apiAway(error, address.origin);
  }
  if (response.ok) return JSON.parse(body) as unknown;
  throw refusedByApi(response, body, address.origin);
}

/** Says why a request to `origin` came to nothing. */
export function apiAway(error: unknown, origin: string): ApiAway {
  const { cause, message } = error as Error & { cause?: Error };
  return new ApiAway(
    `Nobody answers at ${origin} (${cause?.message || message}): is Chodang running there?`,
    {
      cause: error,
    },
  );
}

/** Says why `origin` refused a request. */
export function refusedByApi(response: Response, body: string, origin: string): RefusedByApi {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  const wait = Number.isFinite(retryAfter) ? retryAfter : undefined;
  return new RefusedByApi(sentencesOf(response, body, origin), response.status, wait);
}

function sentencesOf(response: Response, body: string, origin: string): string {
  if (!response.headers.get('content-type')?.startsWith('application/problem+json'))
    return `${origin} answered ${response.status} and no problem document: is this the API of Chodang?`;
  const { title, detail, type, instance, errors = [] } = JSON.parse(body) as ProblemDocument;
  const places = errors.map(
    ({ pointer, parameter, expected, got }) =>
      `\n  ${parameter ?? pointer}: expected ${expected}, got ${got}`,
  );
  const told = places.length > 0 ? `:${places.join('')}` : `. ${detail}`;
  return `${title} (${response.status})${told}\n  more: ${origin}${type} (${instance})`;
}
