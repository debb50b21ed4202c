import type { Dispatcher, Pool } from 'undici';

/**
 * How one request over HTTP went:
 *
 * - `answered`: the server's whole answer, whatever its status.
 * - `failed`: no whole answer came. Only if `begun` is false it is certain that not a byte of the request left.
 */
export type Exchange =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly retryAfter: string | undefined;
      readonly body: string;
    }
  | { readonly kind: 'failed'; readonly begun: boolean; readonly error: Error };

/** Says that the server took longer than `timeoutMs` to answer. */
export class AnswerTimeoutError extends Error {
  override name = 'AnswerTimeoutError';
}

/**
 * Posts `body` once, and tells how it went; never throws and never sends anything twice.
 *
 * undici calls `onRequestStart` when it has a live connection in hand and is about to write to it (`writeH1`
 * in its `client-h1.js`). An error before that (refused, unknown host, connect timeout, TLS, a keep-alive
 * connection found closed and its replacement refused) therefore means that nothing left. After it an error
 * means nothing at all: a keep-alive connection that the server closed while we wrote to it looks the same
 * as a server that read the request and died.
 *
 * `timeoutMs` covers everything from the first byte sent to the last one received. undici's own timeouts
 * watch the headers and each piece of the body apart, in ticks of half a second, and are off.
 */
export function post(
  pool: Pool,
  request: { path: string; headers: Record<string, string>; body: Uint8Array; timeoutMs: number },
): Promise<Exchange> {
  return new Promise((resolve) => {
    let begun = false;
    let deadline: NodeJS.Timeout | undefined;
    let status = 0;
    let retryAfter: string | undefined;
    const pieces: Buffer[] = [];

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        if (begun) {
          // With one request per connection undici has no reason to send a POST again; if it ever does, not with us.
          controller.abort(new Error('undici was about to send the request a second time'));
          return;
        }
        begun = true;
        deadline = setTimeout(() => {
          controller.abort(new AnswerTimeoutError(`no whole answer within ${request.timeoutMs} ms`));
        }, request.timeoutMs);
      },
      onResponseStart(_controller, statusCode, headers) {
        status = statusCode;
        const header = headers['retry-after'];
        retryAfter = Array.isArray(header) ? header[0] : header;
      },
      onResponseData(_controller, piece) {
        pieces.push(piece);
      },
      onResponseEnd() {
        clearTimeout(deadline);
        resolve({ kind: 'answered', status, retryAfter, body: Buffer.concat(pieces).toString() });
      },
      onResponseError(_controller, error) {
        clearTimeout(deadline);
        resolve({ kind: 'failed', begun, error });
      },
    };
    pool.dispatch(
      {
        method: 'POST',
        path: request.path,
        headers: request.headers,
        body: request.body,
        idempotent: false,
        headersTimeout: 0,
        bodyTimeout: 0,
      },
      handler,
    );
  });
}
