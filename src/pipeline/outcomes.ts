import type { Answer, Entry } from './actor.ts';
import { outcomeOf } from './answers.ts';
import type { Delivery } from './broker/delivery.ts';
import { type WaitingHeaders, waitingHeaders } from './handOver.ts';
import { failureHeaders, markHeaders, type Publication, pack, publicationTo } from './message.ts';
import { outcomesOfFirsts } from './repeats.ts';
import type { Parcel, Step } from './step.ts';
import { exchanges } from './topology.ts';

/** What became of a batch, sorted by where it goes from here. What is done goes nowhere. */
export interface Outcomes<Header, Item> {
  /** To the next step, by the retry that brought it: what becomes of that one must be told apart from the rest. */
  forwarded: Map<string | undefined, Pick<Entry<Header, Item>, 'header' | 'item'>[]>;
  /** To `<step>.retriable`, by the headers that it waits with. */
  waiting: Map<string, { headers: WaitingHeaders; entries: Entry<Header, Item>[] }>;
  /** To `<step>.failed`, by what is told of it. */
  failing: Map<string, { error: Error; attempt: number; entries: Entry<Header, Item>[] }>;
  /** Deliveries of which everything may succeed later: the broker moves and counts them. */
  rejected: Delivery[];
}

/** Sorts parcels whose entries, without repeats, got these answers. */
export function sortOut<Header, Item>(
  step: Step<Header, Item>,
  parcels: readonly Parcel<Header, Item>[],
  entries: readonly Entry<Header, Item>[],
  answers: readonly Answer<Item>[],
): Outcomes<Header, Item> {
  let ran = 0; // how many of `entries` have been passed: they are those of the parcels, in order, without repeats
  const sorted: Outcomes<Header, Item> = {
    forwarded: new Map(),
    waiting: new Map(),
    failing: new Map(),
    rejected: [],
  };
  const { forwarded, waiting, failing, rejected } = sorted;
  const firsts = outcomesOfFirsts(step, parcels, entries);

  for (const parcel of parcels) {
    const outcomes = parcel.entries.map((entry) => {
      if (entry !== entries[ran]) return firsts.repeated(entry);
      const outcome = outcomeOf(step, entry, answers[ran++]);
      firsts.keep(entry, outcome);
      return outcome;
    });
    // The broker moves and counts a message that failed as a whole. It can't for a part of one.
    if (outcomes.every((outcome) => outcome.kind === 'retriable')) {
      rejected.push(parcel.delivery);
      continue;
    }
    outcomes.forEach((outcome, at) => {
      const entry = parcel.entries[at] as Entry<Header, Item>;
      if (outcome.kind === 'forward') {
        const some = forwarded.get(entry.retry) ?? [];
        if (some.length === 0) forwarded.set(entry.retry, some);
        some.push(outcome.item === undefined ? entry : { header: entry.header, item: outcome.item });
      } else if (outcome.kind === 'retriable') wait(waiting, entry, entry.attempt);
      else if (outcome.kind === 'infrastructure') wait(waiting, entry, entry.attempt - 1);
      else if (outcome.kind === 'failed') {
        fail(failing, entry, outcome.error);
      }
    });
  }
  return sorted;
}

/** Packs what goes on from here into messages, and tells the observer what failed. */
export function publicationsOf<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  outcomes: Outcomes<Header, Item>,
  publishedAt: number | undefined,
): Publication[] {
  const { name, next, format, chunkSize } = step;
  const { forwarded, waiting, failing } = outcomes;
  const publications: Publication[] = [];
  if (next !== undefined)
    for (const [retry, some] of forwarded)
      for (const content of pack(format, chunkSize, some))
        publications.push(publicationTo(exchanges.steps, next, lane, content, markHeaders({ retry })));
  for (const { headers, entries: some } of waiting.values())
    for (const content of pack(format, chunkSize, some))
      publications.push(publicationTo(exchanges.retriable, name, lane, content, headers));
  for (const { error, attempt, entries: some } of failing.values()) {
    const headers = {
      ...failureHeaders(name, lane, error, attempt, publishedAt),
      ...markHeaders(some[0]),
    };
    step.observer.failed(name, lane, some.length, error, attempt, aboutOf(step, some));
    for (const content of pack(format, chunkSize, some))
      publications.push(publicationTo(exchanges.failed, name, lane, content, headers));
  }
  return publications;
}

function aboutOf<Header, Item>(step: Step<Header, Item>, entries: readonly Entry<Header, Item>[]): object {
  const [first] = entries;
  return first ? step.format.logFieldsOf(first.header) : {};
}

/**
 * So many different errors of a batch are kept apart, each with a message of its own. Of what has others, all of one class
 * go together: else a list of ten thousand events, wrong in one way each, would become ten thousand messages.
 */
const mostErrors = 50;

/** Stands for errors of one class with different messages: it is the first of them, so that it is counted with its like. */
class VariousError extends Error {
  constructor(first: Error) {
    super(first.message);
    this.name = first.name;
    this.stack = `${first.stack ?? first.message}\n    (the first of several errors of this class)`;
  }
}

/** Puts an entry with those that failed alike. */
function fail<Header, Item>(
  failing: Outcomes<Header, Item>['failing'],
  entry: Entry<Header, Item>,
  error: Error,
): void {
  const { attempt, redelivered, retry } = entry;
  const common = JSON.stringify([attempt, redelivered, retry, error.name]);
  const own = `${common} ${error.message}`;
  const isOneTooMany = !failing.has(own) && failing.size >= mostErrors;
  const key = isOneTooMany ? common : own;
  let group = failing.get(key);
  if (!group) {
    group = { error: isOneTooMany ? new VariousError(error) : error, attempt, entries: [] };
    failing.set(key, group);
  }
  group.entries.push(entry);
}

/** Puts an entry with those that wait under the same headers. */
function wait<Header, Item>(
  waiting: Map<string, { headers: WaitingHeaders; entries: Entry<Header, Item>[] }>,
  entry: Entry<Header, Item>,
  attempts: number,
): void {
  const key = `${attempts} ${entry.redelivered} ${entry.retry}`;
  const group = waiting.get(key) ?? { headers: waitingHeaders(attempts, entry), entries: [] };
  group.entries.push(entry);
  waiting.set(key, group);
}
