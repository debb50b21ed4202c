/** After so long without a message a lane counts as quiet, in ms. */
const quietAfterMs = 1_000;

/** Knows in which lanes messages come to this process, whichever of its steps takes them. */
export class Traffic {
  readonly #cameAt = new Map<string, number>();

  /** Notes that a message came. */
  came(lane: string): void {
    this.#cameAt.set(lane, performance.now());
  }

  /** Tells whether messages come in another lane, too. */
  isBeside(lane: string): boolean {
    const since = performance.now() - quietAfterMs;
    for (const [other, at] of this.#cameAt) if (other !== lane && at > since) return true;
    return false;
  }
}
