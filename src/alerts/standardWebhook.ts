import { createHmac } from 'node:crypto';
import type { Bundle } from '../store/alerts.ts';
import type { Channel } from './channel.ts';
import { brief, digest } from './digest.ts';
import { post } from './post.ts';

/** So many alerts are listed, about; the rest is only counted. The standard wants bodies of less than 20 kB. */
const listed = 50;

/**
 * Makes the channel to a webhook of one's own, signed as Standard Webhooks says
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
 *
 * `secret` is `whsec_` and base64; two of them, with a space between, while one takes the other's place.
 */
export const webhookChannel = ({ url, secret }: { url: string; secret: string }): Channel => ({
  name: 'webhook',
  bodyOf: webhookBody,
  send: ({ bundleId, body }, signal) =>
    post(url, { body, headers: webhookHeaders({ secret, bundleId, body, at: new Date() }), signal }),
});

/** Writes a bundle as an event of type `chodang.alerts`. */
export function webhookBody({ alerts, at }: Bundle): string {
  const kinds = digest(alerts, listed);
  return JSON.stringify({
    type: 'chodang.alerts',
    timestamp: at.toISOString(),
    data: {
      total: alerts.length,
      kinds: kinds.map(({ kind, total }) => ({ kind, total })),
      alerts: kinds
        .flatMap(({ named }) => named)
        .map(({ kind, subject, at, detail }) => ({ kind, subject, at, detail: shortened(detail) })),
    },
  });
}

/** Makes the headers of one try; the id stays the same with every try, the time and the signature don't. */
export function webhookHeaders(of: {
  secret: string;
  bundleId: string;
  body: string;
  at: Date;
}): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const id = `msg_${of.bundleId}`;
  const timestamp = Math.floor(of.at.getTime() / 1_000).toString();
  const signatures = of.secret
    .split(' ')
    .map((secret) => Buffer.from(secret.slice('whsec_'.length), 'base64'))
    .map((key) => createHmac('sha256', key).update(`${id}.${timestamp}.${of.body}`).digest('base64'));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.map((signature) => `v1,${signature}`).join(' '),
  };
}

const shortened = (detail: Bundle['alerts'][number]['detail']) =>
  Object.fromEntries(
    Object.entries(detail).map(([key, value]) => [key, typeof value === 'string' ? brief(value) : value]),
  );
