/** How large messages are taken to be until the first has come, in bytes. */
const assumedBytes = 1_048_576;
/** How much of its way to the size of a message the estimate goes: at once where they grow, slowly where they shrink. */
const grows = 1 / 2;
const shrinks = 1 / 16;

/**
 * Tells how many messages to ask RabbitMQ for, so that all together stay within `maxBytes`: RabbitMQ counts messages,
 * whatever their size, which is learnt from those that come.
 */
export class Prefetch {
  readonly #maxBytes: number;
  #typicalBytes: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes note of the size of a message that came. */
  came(bytes: number): void {
    const before = this.#typicalBytes ?? bytes;
    this.#typicalBytes = before + (bytes - before) * (bytes > before ? grows : shrinks);
  }

  /** How many to ask for, at least one and at most `most`. */
  within(most: number): number {
    const fitting = Math.floor(this.#maxBytes / (this.#typicalBytes ?? assumedBytes));
    return Math.max(1, Math.min(most, fitting));
  }

  /** Whether what is asked for is so far from what should be that asking anew is worth it. */
  isOff(asked: number, most: number): boolean {
    const wanted = this.within(most);
    return wanted >= 2 * asked || 2 * wanted <= asked;
  }
}
