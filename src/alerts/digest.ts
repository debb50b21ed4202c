import { masked } from '../masking.ts';
import { type AlertKind, alertKinds, type RaisedAlert } from '../store/alerts.ts';

/** All alerts of one kind in a bundle, and some of them by name. */
export interface KindOfAlert {
  kind: AlertKind;
  total: number;
  named: RaisedAlert[];
}

/**
 * Sorts alerts by kind and names about `most` of them in all, the oldest first, so that a flood of one kind hides
 * no other: each kind that is there gets an equal share, two at least.
 */
export function digest(alerts: readonly RaisedAlert[], most: number): KindOfAlert[] {
  const kinds = alertKinds
    .map((kind) => ({ kind, all: alerts.filter((alert) => alert.kind === kind) }))
    .filter(({ all }) => all.length > 0);
  const share = Math.max(2, Math.floor(most / Math.max(1, kinds.length)));
  return kinds.map(({ kind, all }) => ({ kind, total: all.length, named: all.slice(0, share) }));
}

const titles: Record<AlertKind, [one: string, many: string]> = {
  'group new': ['new group of failures', 'new groups of failures'],
  'group over threshold': ['group over its threshold', 'groups over their thresholds'],
  'group reopened': ['group reopened', 'groups reopened'],
  'group resolved': ['group resolved', 'groups resolved'],
  'retry stopped': ['retry stopped', 'retries stopped'],
  'queue undrained': ['failed queue that nobody drains', 'failed queues that nobody drains'],
  'retriable storm': ['storm of retries', 'storms of retries'],
};

/** Says what there is of one kind: `1,204 new groups of failures`. */
export const titleOf = ({ kind, total }: Pick<KindOfAlert, 'kind' | 'total'>): string =>
  `${count(total)} ${titles[kind][total === 1 ? 0 : 1]}`;

/** Says in one line what an alert is about: `group 12: step tms, error class TypeError, message broken, open 3`. */
export function lineOf({ subject, detail }: Pick<RaisedAlert, 'subject' | 'detail'>): string {
  const [about = ''] = subject.split(' ', 1);
  const said = Object.entries(detail)
    // jsonb keeps no order.
    .toSorted(([a], [b]) => placeOf(a) - placeOf(b))
    .map(([key, value]) => ({ name: wordsOf(key), value }))
    // The subject says this already: `groupId` 12 of `group 12`.
    .filter(
      ({ name, value }) => value !== null && !(name.startsWith(about) && subject === `${about} ${value}`),
    )
    .map(({ name, value }) => `${name} ${typeof value === 'number' ? count(value) : brief(value ?? '')}`);
  return said.length === 0 ? brief(subject) : `${brief(subject)}: ${said.join(', ')}`;
}

/** Names the command that shows more of such an alert, or undefined if there is none. */
export function commandFor({ kind, subject }: Pick<RaisedAlert, 'kind' | 'subject'>): string | undefined {
  const group = /^group (\d+)$/.exec(subject)?.[1];
  if (group !== undefined) return `chodang failed list --group ${group}`;
  if (kind === 'retry stopped') return 'chodang failed history';
  if (kind === 'queue undrained') return 'chodang start --only failures';
  return undefined;
}

/** Cuts a text to one line of at most `longest` characters, personal data masked. */
export function brief(text: string, longest = 160): string {
  const line = masked(text.slice(0, 4 * longest))
    .replaceAll(/\s+/g, ' ')
    .trim();
  // Not between the two halves of a character.
  return line.length <= longest ? line : `${line.slice(0, longest - 1).replace(/\p{Surrogate}$/u, '')}…`;
}

/** What is said first; the rest follows. */
const first = ['step', 'errorClass', 'message', 'error', 'open'];
const placeOf = (key: string) => (first.includes(key) ? first.indexOf(key) : first.length);

const count = (number: number) => number.toLocaleString('en');
const wordsOf = (key: string) => key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
