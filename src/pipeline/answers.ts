import { type Answer, type Entry, failed, infrastructure, retriable } from './actor.ts';
import { InfrastructureError } from './errors.ts';
import { Culprit, halve } from './halve.ts';
import type { Step } from './step.ts';

/** Runs the actor; an error it throws becomes its entries' answer. */
export async function answersOf<Header, Item>(
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
export function outcomeOf<Header, Item>(
  step: Step<Header, Item>,
  entry: Entry<Header, Item>,
  answer: Answer<Item> | undefined,
): Answer<Item> {
  if (!answer) throw new Error(`the actor ${step.name} left an entry without an answer`);
  if (answer.kind === 'retriable' && entry.attempt >= step.maxAttempts) return failed(answer.error);
  return answer;
}

/** Tells circuit and observer how the batch went. */
export function watch<Header, Item>(
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
