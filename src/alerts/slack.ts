import type { Bundle } from '../store/alerts.ts';
import type { Channel } from './channel.ts';
import { commandFor, digest, lineOf, titleOf } from './digest.ts';
import { post } from './post.ts';

/** So many alerts are named, about; Slack cuts off texts of more than 40,000 characters, and wants fewer than 4,000. */
const named = 10;
const longestText = 3_500;

/** Makes the channel to an incoming webhook of Slack; its URL is a secret. */
export const slackChannel = ({ url }: { url: string }): Channel => ({
  name: 'slack',
  bodyOf: slackBody,
  send: ({ body }, signal) => post(url, { body, headers: {}, signal }),
});

/**
 * Writes a bundle for an incoming webhook of Slack: what there is of each kind, about ten alerts by name, and how
 * many more. (https://docs.slack.dev/messaging/formatting-message-text)
 */
export function slackBody({ alerts }: Bundle): string {
  const kinds = digest(alerts, named);
  const lines = [`*Chodang: ${kinds.map(titleOf).join(', ')}*`];
  let length = lines.join('\n').length;
  for (const { kind, total, named } of kinds) {
    const command = named.flatMap((alert) => commandFor(alert) ?? [])[0];
    const more: string[] = [`*${titleOf({ kind, total })}*${command ? ` (see \`${command}\`)` : ''}`];
    let left = total;
    for (const alert of named) {
      const line = `• ${escaped(lineOf(alert))}`;
      if (length + line.length > longestText) break;
      length += line.length;
      left -= 1;
      more.push(line);
    }
    if (left > 0) more.push(left === total ? '…' : `… and ${left.toLocaleString('en')} more`);
    lines.push(...more);
  }
  return JSON.stringify({ text: lines.join('\n') });
}

/** What Slack would take for a mention, a link or a format of its own becomes text. */
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('`', "'");
