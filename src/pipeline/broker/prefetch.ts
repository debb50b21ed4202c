import type { Reading } from './reading.ts';

/** How large messages are taken to be until the first has come, in bytes. */
const assumedBytes = 1_048_576;
/** How much of its way to the size of a message the mean goes. */
const weight = 1 / 32;

/**
 * Tells how many messages to ask RabbitMQ for, so that those that are not settled yet stay within `maxBytes`, about:
 * RabbitMQ counts messages, whatever their size, which is learnt from those that come.
 */
export class Prefetch {
  readonly #maxBytes: number;
  readonly #reading: Pick<Reading, 'came' | 'settled'> | undefined;
  #meanBytes: number | undefined;
  #heldBytes = 0;
  #held = 0;

  /** `reading` is told of all that comes and is settled. */
  constructor(maxBytes: number, reading?: Pick<Reading, 'came' | 'settled'>) {
    this.#maxBytes = maxBytes;
    this.#reading = reading;
  }

  /** Takes note of a message that came. */
  came(bytes: number): void {
    this.#meanBytes =
      this.#meanBytes === undefined ? bytes : this.#meanBytes + (bytes - this.#meanBytes) * weight;
    this.#heldBytes += bytes;
    this.#held += 1;
    this.#reading?.came(bytes);
  }

  /** Takes note that a message was settled. */
  settled(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#held -= 1;
    this.#reading?.settled(bytes);
  }

  /** Takes note that all that came is RabbitMQ's again: its channel is gone. */
  lost(): void {
    this.#reading?.settled(this.#heldBytes);
    this.#heldBytes = 0;
    this.#held = 0;
  }

  /** Whether all that came is settled. */
  get isEmpty(): boolean {
    return this.#held === 0;
  }

  /** How many to ask for, at least one and at most `most`. */
  within(most: number): number {
    const fitting = Math.floor(this.#maxBytes / (this.#meanBytes ?? assumedBytes));
    return Math.max(1, Math.min(most, fitting));
  }

  /** Whether there is room for so many more than were asked for that asking anew is worth it. */
  isTooLow(asked: number, most: number): boolean {
    return this.within(most) >= 2 * asked;
  }

  /** Whether so much has come that nothing more should, until it is settled; a single message is never too much. */
  isTooMuch(asked: number): boolean {
    return asked > 1 && this.#heldBytes > 2 * this.#maxBytes;
  }
}
