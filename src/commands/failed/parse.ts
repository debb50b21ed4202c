import { InvalidArgumentError } from 'commander';
import type { Choice } from '../../store/failureChoice.ts';
import { type FailureState, failureStates } from '../../store/failureGroups.ts';

/** Reads how many lines to print at most. */
export function limitOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new InvalidArgumentError('expected a whole number from 1 to 999999.');
  return Number(text);
}

/** Reads the number of a failure, a group or an operation. */
export function numberOf(text: string): string {
  if (!/^[1-9]\d{0,17}$/.test(text))
    throw new InvalidArgumentError(
      'expected a number, as "chodang failed list", "groups" and "history" show it.',
    );
  return text;
}

/** Reads numbers of failures, one more with each argument. */
export const numbersOf = (text: string, before: string[] = []): string[] => [...before, numberOf(text)];

/** Reads a state of failures; `all` is undefined. */
export function stateOf(text: string): FailureState | undefined {
  const state = text.replace('-', '_');
  if (text === 'all') return undefined;
  if (failureStates.includes(state as FailureState)) return state as FailureState;
  throw new InvalidArgumentError(`expected one of ${failureStates.join(', ').replace('_', '-')}, all.`);
}

/** Reads a rate, `100/s` or `30/min`, as so many a second; `all` is null. */
export function rateOf(text: string): number | null {
  if (text === 'all') return null;
  const [, count, unit] = /^(\d+(?:\.\d+)?)\/(s|min)$/.exec(text) ?? [];
  const rate = Number(count) / (unit === 'min' ? 60 : 1);
  if (!(rate > 0))
    throw new InvalidArgumentError('expected a rate such as 100/s or 30/min, or all at once: all.');
  return rate;
}

/** Reads a whole number of at least `least`. */
export const countOf = (least: number) => (text: string) => {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least)
    throw new InvalidArgumentError(`expected a whole number of at least ${least}.`);
  return Number(text);
};

/** The options that choose failures. */
export interface ChoiceOptions {
  group?: string;
  upTo?: string;
}

/** Puts together which failures are chosen: by their numbers, or a group as somebody saw it. */
export function choiceOf(failureIds: readonly string[] = [], { group, upTo }: ChoiceOptions): Choice {
  if (failureIds.length > 0 && group === undefined && upTo === undefined) return { failureIds };
  if (failureIds.length === 0 && group !== undefined && upTo !== undefined) return { groupId: group, upTo };
  throw new Error(
    group !== undefined && upTo === undefined
      ? `expected --up-to with --group: the last failure that you saw, as "chodang failed groups" shows it, so that what came later is not taken along`
      : 'expected the numbers of failures, or --group and --up-to, as "chodang failed groups" shows them',
  );
}
