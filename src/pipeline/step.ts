import { type Actor, type Answer, done, type Entry, failed, infrastructure, retriable } from './actor.ts';
import type { Broker } from './broker/broker.ts';
import type { Delivery } from './broker/delivery.ts';
import type { Circuit } from './circuit.ts';
import { InfrastructureError, KilledProcessError, MalformedError } from './errors.ts';
import { Culprit, halve } from './halve.ts';
import {
  attemptOf,
  failureHeaders,
  headerNames,
  type Marks,
  type MessageFormat,
  markHeaders,
  type Publication,
  pack,
  publicationTo,
  readChunks,
  retryOf,
} from './message.ts';
import type { PipelineObserver } from './observer.ts';
import { exchanges } from './topology.ts';
import type { Traffic } from './traffic.ts';

/** One step of a pipeline, ready to run batches. */
export interface Step<Header, Item> {
  name: string;
  /** The step that what is forwarded goes to; undefined for the last. */
  next: string | undefined;
  actor: Actor<Header, Item>;
  format: MessageFormat<Header, Item>;
  /** At most so many items in one chunk, and in one message. */
  chunkSize: number;
  /** How often an item may fail by itself before it goes to `<step>.failed`. */
  maxAttempts: number;
  /** How often a message may take its process down with it. */
  maxRedeliveries: number;
  broker: Broker;
  circuit: Circuit;
  /** What comes in which lane, to all steps of this process. */
  traffic: Traffic;
  observer: PipelineObserver;
}

/** A delivery whose message has been read. */
export interface Parcel<Header, Item> {
  delivery: Delivery;
  lane: string;
  entries: Entry<Header, Item>[];
}

/**
 * Reads a delivery, or puts it among the failed ones if it can't be understood or has killed its process
 * too often. Returns undefined where nothing is left to run.
 */
export async function receive<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  delivery: Delivery,
): Promise<Parcel<Header, Item> | undefined> {
  const attempt = attemptOf(step.name, delivery.headers);
  try {
    if (delivery.deliveryCount >= step.maxRedeliveries)
      throw new KilledProcessError(
        `its process died with it ${delivery.deliveryCount} times: expected fewer than ${step.maxRedeliveries}`,
      );
    const chunks = readChunks(step.format, step.name, delivery);
    const redelivered = wasRedelivered(delivery);
    const retry = retryOf(delivery.headers);
    const entries = chunks.flatMap(({ header, items }) =>
      items.map((item) => ({ header, item, attempt, redelivered, retry })),
    );
    return { delivery, lane, entries };
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof KilledProcessError)) throw error;
    const headers = {
      ...failureHeaders(step.name, lane, error, attempt, delivery.publishedAt),
      ...markHeaders({ redelivered: wasRedelivered(delivery), retry: retryOf(delivery.headers) }),
    };
    const publication = publicationTo(exchanges.failed, step.name, lane, delivery.content, headers);
    if (delivery.type !== undefined) publication.type = delivery.type;
    // The same id each time, should we die before the ack: then it is the same failure.
    if (delivery.messageId !== undefined) publication.messageId = delivery.messageId;
    step.observer.failed(step.name, lane, 0, error, attempt, { messageId: delivery.messageId });
    await handOver(step, [publication], [{ delivery, lane, entries: [] }]);
    return undefined;
  }
}

/**
 * Takes the parcels of one lane through the step: runs the actor, publishes what goes on from here, waits
 * for RabbitMQ's confirms, and only then lets go of the deliveries. Whatever the actor does, it returns.
 */
export async function runBatch<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  parcels: readonly Parcel<Header, Item>[],
): Promise<void> {
  const started = performance.now();
  const entries = withoutRepeats(step, parcels);
  const answers = await answersOf(step, entries);
  watch(step, lane, entries, answers);

  let ran = 0; // how many of `entries` have been passed: they are those of the parcels, in order, without repeats
  // What a retry brought back stays apart from the rest, so that one can tell what becomes of it.
  const forwarded = new Map<string | undefined, Pick<Entry<Header, Item>, 'header' | 'item'>[]>();
  const waiting = new Map<string, { headers: WaitingHeaders; entries: Entry<Header, Item>[] }>();
  const failing = new Map<string, { error: Error; attempt: number; entries: Entry<Header, Item>[] }>();
  const rejected: Delivery[] = [];
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
        const key = `${entry.attempt} ${entry.redelivered} ${entry.retry} ${outcome.error.name} ${outcome.error.message}`;
        const group = failing.get(key) ?? { error: outcome.error, attempt: entry.attempt, entries: [] };
        group.entries.push(entry);
        failing.set(key, group);
      }
    });
  }

  const { name, next, format, chunkSize } = step;
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
      ...failureHeaders(name, lane, error, attempt, parcels[0]?.delivery.publishedAt),
      ...markHeaders(some[0]),
    };
    step.observer.failed(name, lane, some.length, error, attempt, aboutOf(step, some));
    for (const content of pack(format, chunkSize, some))
      publications.push(publicationTo(exchanges.failed, name, lane, content, headers));
  }

  const letGo = parcels.filter(({ delivery }) => !rejected.includes(delivery));
  await handOver(step, publications, letGo);
  for (const delivery of rejected) delivery.reject();
  step.observer.batch(name, lane, entries.length, performance.now() - started);
}

/** Gives deliveries back to wait in `<step>.retriable`, their attempts unchanged; never loses or counts one. */
export async function handBack<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  deliveries: readonly Delivery[],
): Promise<void> {
  await Promise.all(
    deliveries.map(async (delivery) => {
      const headers = waitingHeaders(attemptOf(step.name, delivery.headers) - 1, {
        redelivered: wasRedelivered(delivery),
        retry: retryOf(delivery.headers),
      });
      const publication = publicationTo(exchanges.retriable, step.name, lane, delivery.content, headers);
      if (delivery.type !== undefined) publication.type = delivery.type;
      while (delivery.alive()) {
        try {
          await step.broker.publish(publication);
          delivery.ack();
        } catch (error) {
          if (!(error instanceof InfrastructureError)) throw error;
          // Nowhere to put it: hold it until there is, or until RabbitMQ takes it back with the channel.
          await new Promise((resolve) => setTimeout(resolve, handBackAgainMs));
        }
      }
    }),
  );
}
const handBackAgainMs = 500;

/** Publishes, waits for every confirm, then acks. If RabbitMQ won't have it, the deliveries wait instead. */
async function handOver<Header, Item>(
  step: Step<Header, Item>,
  publications: readonly Publication[],
  parcels: readonly Parcel<Header, Item>[],
): Promise<void> {
  const outcomes = await Promise.allSettled(publications.map((each) => step.broker.publish(each)));
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!refused) {
    for (const { delivery } of parcels) delivery.ack();
    return;
  }
  const error: unknown = refused.reason;
  if (!(error instanceof InfrastructureError)) throw error;
  for (const { lane, delivery, entries } of parcels) {
    step.observer.retriable(step.name, lane, entries.length, error, 'unchanged');
    await handBack(step, lane, [delivery]);
  }
}

/** Runs the actor; an error it throws becomes its entries' answer. */
async function answersOf<Header, Item>(
  step: Step<Header, Item>,
  entries: readonly Entry<Header, Item>[],
): Promise<Answer<Item>[]> {
  const run = async (some: readonly Entry<Header, Item>[]): Promise<Answer<Item>[]> => {
    const answers = await step.actor.run(some);
    if (answers.length !== some.length)
      throw new Error(`the actor ${step.name} answered ${answers.length} times for ${some.length} entries`);
    return answers;
  };
  try {
    const answers = await halve(entries, run, (error) => !(error instanceof InfrastructureError));
    return answers.map((answer) => (answer instanceof Culprit ? retriable(answer.error) : answer));
  } catch (error) {
    if (!(error instanceof InfrastructureError)) throw error;
    return entries.map(() => infrastructure(error));
  }
}

/** What becomes of an entry: its answer, but failed once its attempts are used up. */
function outcomeOf<Header, Item>(
  step: Step<Header, Item>,
  entry: Entry<Header, Item>,
  answer: Answer<Item> | undefined,
): Answer<Item> {
  if (!answer) throw new Error(`the actor ${step.name} left an entry without an answer`);
  if (answer.kind === 'retriable' && entry.attempt >= step.maxAttempts) return failed(answer.error);
  return answer;
}

/**
 * Knows how the first of entries that are the same thing came out, for those that repeat it. A repeat is done with,
 * unless another retry brought it: that one has to learn that it waits, or fails again.
 */
function outcomesOfFirsts<Header, Item>(
  { format }: Step<Header, Item>,
  parcels: readonly Parcel<Header, Item>[],
  entries: readonly Entry<Header, Item>[],
): {
  keep(entry: Entry<Header, Item>, outcome: Answer<Item>): void;
  repeated(entry: Entry<Header, Item>): Answer<Item>;
} {
  const known = new Map<string, { outcome: Answer<Item>; retry: string | undefined }>();
  const keyOf = ({ header, item }: Entry<Header, Item>) =>
    JSON.stringify([format.headerKeyOf(header), format.itemKeyOf(item)]);
  // Mostly there are none: then nothing is kept.
  const hasRepeats = parcels.reduce((sum, parcel) => sum + parcel.entries.length, 0) > entries.length;
  return {
    keep(entry, outcome) {
      if (hasRepeats) known.set(keyOf(entry), { outcome, retry: entry.retry });
    },
    repeated(entry) {
      const first = known.get(keyOf(entry));
      if (!first || first.retry === entry.retry || first.outcome.kind === 'forward') return done;
      return first.outcome;
    },
  };
}

/** Keeps the first of entries that are the same thing: a message may have come twice. */
function withoutRepeats<Header, Item>(
  step: Step<Header, Item>,
  parcels: readonly Parcel<Header, Item>[],
): Entry<Header, Item>[] {
  const seen = new Map<string, Set<string>>();
  const { format } = step;
  let last: { header: Header; items: Set<string> } | undefined; // neighbours have one header, mostly
  return parcels.flatMap(({ entries }) =>
    entries.filter(({ header, item }) => {
      if (last?.header !== header) {
        const headerKey = format.headerKeyOf(header);
        const items = seen.get(headerKey) ?? new Set();
        seen.set(headerKey, items);
        last = { header, items };
      }
      const { items } = last;
      return items.size < items.add(format.itemKeyOf(item)).size;
    }),
  );
}

/** Tells circuit and observer how the batch went. */
function watch<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  entries: readonly Entry<Header, Item>[],
  answers: readonly Answer<Item>[],
): void {
  let away: InfrastructureError | undefined;
  let awayItems = 0;
  const waiting = new Map<string, { error: Error; attempt: number; items: number }>();
  entries.forEach((entry, at) => {
    const answer = answers[at];
    if (answer?.kind === 'infrastructure') {
      // One that counts for the circuit says more than one that doesn't.
      if (!away?.countsForCircuit) away = answer.error;
      awayItems += 1;
    }
    if (answer?.kind !== 'retriable' || entry.attempt >= step.maxAttempts) return;
    const key = `${entry.attempt} ${answer.error.message}`;
    const group = waiting.get(key) ?? { error: answer.error, attempt: entry.attempt, items: 0 };
    group.items += 1;
    waiting.set(key, group);
  });
  for (const { error, attempt, items } of waiting.values())
    step.observer.retriable(step.name, lane, items, error, attempt);
  if (away) step.observer.retriable(step.name, lane, awayItems, away, 'unchanged');
  if (away?.countsForCircuit) step.circuit.failed(away);
  else if (awayItems < entries.length) step.circuit.succeeded();
}

function aboutOf<Header, Item>(step: Step<Header, Item>, entries: readonly Entry<Header, Item>[]): object {
  const [first] = entries;
  return first ? step.format.logFieldsOf(first.header) : {};
}

type WaitingHeaders = Record<string, string | number>;

/** The headers of what waits: RabbitMQ's own counts end with the message it counted, so ours go on. */
const waitingHeaders = (attempts: number, of: Marks): WaitingHeaders => ({
  [headerNames.attempts]: attempts,
  ...markHeaders(of),
});

function wasRedelivered({ deliveryCount, headers }: Delivery): boolean {
  return deliveryCount > 0 || headers[headerNames.redelivered] === 1;
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
