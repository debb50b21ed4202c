const firstMs = 100;
const mostMs = 5_000;

/**
 * Decides whether and when a worker process that died is replaced.
 *
 * The next one comes at once, unless it too dies young: then each waits twice as long, up to 5 s. After `most` that died
 * young in a row there is no use in going on. `most` must be well above `pipeline.maxRedeliveries`, since a message may
 * take so many processes down until it is put aside.
 */
export class Restarts {
  readonly #most: number;
  #young = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes note that one has grown old: whatever happened to others is over. */
  grewOld(): void {
    this.#young = 0;
  }

  /** Takes note that one died; gives after how many ms the next one may come, undefined if none should. */
  died({ young }: { young: boolean }): number | undefined {
    this.#young = young ? this.#young + 1 : 0;
    if (this.#young >= this.#most) return undefined;
    return Math.min(firstMs * 2 ** Math.max(this.#young - 1, 0), mostMs);
  }
}
