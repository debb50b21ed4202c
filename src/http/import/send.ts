import { setTimeout as sleep } from 'node:timers/promises';
import { ApiAway, apiAway, type ClientOptions, RefusedByApi, refusedByApi } from '../client.ts';
import { type Format, formats } from './file.ts';
import type { AcceptedImport } from './imports.ts';

export interface SendOptions extends Omit<ClientOptions, 'timeoutMs'> {
  format: Format;
  /** What `open` gives is packed by gzip. */
  gzipped: boolean;
  idempotencyKey: string;
  /** Opens the file, from its start. */
  open: () => AsyncIterable<Uint8Array>;
  /** How often it is sent again after it got no further; 0 if it can be opened only once. */
  tries: number;
  /** Is told of the notice, each time that the file is sent. */
  onAccepted: (accepted: AcceptedImport) => void;
  /** Is told how many bytes of the file were sent, from its start. */
  onSent: (bytes: number) => void;
  /** Is told what went wrong, before the file is sent again. */
  onBroken: (error: Error) => void;
}

const longestPauseMs = 15_000;

/**
 * Sends a file to `POST /v1/delay-notices/import`, again and again until all of it was received, and returns the answer.
 *
 * Each time it begins at the start: the API passes over what it has. Throws `RefusedByApi` or `ApiAway` when it gives up.
 */
export async function sendFile(options: SendOptions): Promise<AcceptedImport> {
  let failures = 0;
  let safe = -1;
  for (;;) {
    let accepted: AcceptedImport | undefined;
    try {
      return await sendOnce({
        ...options,
        onAccepted(answer) {
          accepted = answer;
          options.onAccepted(answer);
        },
      });
    } catch (error) {
      if (accepted && accepted.orders > safe) {
        safe = accepted.orders;
        failures = 0;
      }
      failures++;
      if (!(error instanceof Error) || !mayComeThrough(error) || failures > options.tries) throw error;
      options.onBroken(error);
      const { retryAfterSeconds = 0 } = error as Partial<RefusedByApi>;
      await sleep(Math.max(Math.min(500 * 2 ** failures, longestPauseMs), retryAfterSeconds * 1_000));
    }
  }
}

const mayComeThrough = (error: Error) =>
  error instanceof ApiAway ||
  (error instanceof RefusedByApi && (error.retryAfterSeconds !== undefined || error.status >= 500));

async function sendOnce(options: SendOptions): Promise<AcceptedImport> {
  const { url, apiKey, format, gzipped, idempotencyKey, open, onSent, onAccepted } = options;
  const address = new URL('/v1/delay-notices/import', url);
  let unreadable: Error | undefined;
  const counted = async function* () {
    let bytes = 0;
    try {
      for await (const chunk of open()) {
        yield chunk;
        onSent((bytes += chunk.length));
      }
    } catch (error) {
      unreadable = error as Error;
      throw error;
    }
  };
  try {
    const response = await fetch(address, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${apiKey}`,
        'content-type': formats[format],
        ...(gzipped && { 'content-encoding': 'gzip' }),
        'idempotency-key': idempotencyKey,
      },
      body: counted() as unknown as ReadableStream,
      duplex: 'half',
    });
    if (!response.ok) throw refusedByApi(response, await response.text(), address.origin);
    return await answerOf(response, onAccepted);
  } catch (error) {
    if (unreadable !== undefined) throw unreadable;
    throw error instanceof RefusedByApi ? error : apiAway(error, address.origin);
  }
}

/** Reads the answer: its first line as soon as it is there, and then on to its end, which says that all is received. */
async function answerOf(
  response: Response,
  onAccepted: (accepted: AcceptedImport) => void,
): Promise<AcceptedImport> {
  const decoder = new TextDecoder();
  let text = '';
  let accepted: AcceptedImport | undefined;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (accepted) continue;
    text += decoder.decode(chunk, { stream: true });
    if (!text.includes('\n')) continue;
    accepted = JSON.parse(text) as AcceptedImport;
    onAccepted(accepted);
  }
  return accepted ?? (JSON.parse(text) as AcceptedImport);
}

/** Opens the CSV of a notice's rejected rows. Throws `RefusedByApi` or `ApiAway`. */
export async function openRejectedRows(
  { url, apiKey }: ClientOptions,
  noticeId: string,
): Promise<AsyncIterable<Uint8Array>> {
  const address = new URL(`/v1/delay-notices/${encodeURIComponent(noticeId)}/rejected-rows`, url);
  const response = await fetch(address, {
    headers: { authorization: `Bearer ${apiKey}`, accept: 'text/csv' },
  }).catch((error: unknown) => {
    throw apiAway(error, address.origin);
  });
  if (!response.ok) throw refusedByApi(response, await response.text(), address.origin);
  return response.body as unknown as AsyncIterable<Uint8Array>;
}
