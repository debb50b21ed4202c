import type { Bundle } from '../store/alerts.ts';
import type { Log } from '../store/store.ts';
import type { Channel } from './channel.ts';
import { digest, lineOf, titleOf } from './digest.ts';

const named = 10;

/** Makes the channel that is always there: each bundle is one line of the log, level `error`. */
export const logChannel = (log: Log): Channel => ({
  name: 'log',
  bodyOf: logBody,
  async send({ bundleId, body }) {
    const { summary, ...about } = JSON.parse(body) as ReturnType<typeof said>;
    log.error({ bundleId, ...about }, `developers are alerted: ${summary}`);
    return { delivered: true };
  },
});

const logBody = (bundle: Bundle) => JSON.stringify(said(bundle));

function said({ alerts }: Bundle) {
  const kinds = digest(alerts, named);
  return {
    summary: kinds.map(titleOf).join(', '),
    alerts: alerts.length,
    some: kinds.flatMap(({ kind, named }) => named.map((alert) => `${kind}: ${lineOf(alert)}`)),
  };
}
