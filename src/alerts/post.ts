import { readRetryAfter } from '../tms/retryAfter.ts';
import type { Outcome } from './channel.ts';

/**
 * Posts JSON once. Any 2xx means delivered; redirects are not followed, and fail like all else.
 *
 * What it says of a failure shows no more of the URL than its origin: the path of a Slack webhook is a secret.
 */
export async function post(
  url: string,
  request: { body: string; headers: Record<string, string>; signal: AbortSignal; timeoutMs?: number },
): Promise<Outcome> {
  const { body, headers, signal, timeoutMs = 10_000 } = request;
  const { origin } = new URL(url);
  try {
    const response = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'user-agent': 'chodang', ...headers },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    if (response.ok) {
      // It has been taken, whatever becomes of the rest of the answer.
      await response.body?.cancel().catch(() => undefined);
      return { delivered: true };
    }
    const said = await codeIn(response).catch(() => '');
    return {
      delivered: false,
      why: `${origin} answered ${response.status}${said}`,
      retryAfterMs: readRetryAfter(response.headers.get('retry-after') ?? undefined),
    };
  } catch (error) {
    return { delivered: false, why: `${origin}: ${reasonOf(error, timeoutMs)}` };
  }
}

/** What Slack says why, e.g. `channel_is_archived`. Anything longer may well repeat the secret path. */
async function codeIn({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  const text = Buffer.from(value ?? []).toString();
  return /^[a-z]+(_[a-z]+)*$/.test(text) && text.length <= 50 ? ` ${text}` : '';
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'not sent';
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  if (error.name === 'AbortError') return 'stopped';
  const { cause } = error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : cause instanceof Error ? cause.name : error.name;
}
