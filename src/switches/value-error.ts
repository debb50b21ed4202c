import { bucketCount } from './bucket.ts';

/** Says that a switch's value can't be understood, with every mistake in it. */
export class SwitchValueError extends Error {
  override name = 'SwitchValueError';
  /** One sentence per mistake: what came, where, and what would be right. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: { cause?: unknown }) {
    super(problems.join('; '), options);
    this.problems = problems;
  }
}

/** Gathers mistakes, so that a person is told all of them at once. */
export class Problems {
  readonly #sentences: string[] = [];

  get count(): number {
    return this.#sentences.length;
  }

  add(sentence: string): void {
    this.#sentences.push(sentence);
  }

  /** Adds a mistake if the weights, in buckets, don't make up the whole. */
  addUnlessWhole(weights: readonly number[], hint = ''): void {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (sum !== bucketCount) this.add(`the shares add up to ${sum / 100}; expected 100${hint}`);
  }

  throwIfAny(): void {
    if (this.#sentences.length > 0) throw new SwitchValueError(this.#sentences);
  }
}

/** Turns a percentage as it was written, `0` to `100` with at most two decimals, into buckets; 0 after a mistake. */
export function weightOf(written: string, where: string, problems: Problems): number {
  const percentage = Number(written);
  if (!/^\d+(\.\d{1,2})?$/.test(written) || percentage > 100) {
    const came = where === `"${written}%"` ? where : `${where} is ${quoted(written)}, which`;
    problems.add(
      `${came} is no percentage; expected a number from 0 to 100 with at most two decimals, such as 12.34`,
    );
    return 0;
  }
  // Never `percentage * 100` alone: as a float it is off for 573 of the 10,001 percentages.
  return Math.round(percentage * 100);
}

/** Shows what came, cut where it is long. */
export function quoted(came: unknown): string {
  const text = typeof came === 'string' ? `"${came}"` : (JSON.stringify(came) ?? String(came));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
