import type { InfrastructureError } from './errors.ts';

export interface CircuitOptions {
  /** How many infrastructure errors in a row open the circuit. */
  failures: number;
  /** How long an open circuit waits before each probe, in ms; a server's `Retry-After` prolongs it. */
  probeMs: number;
}

/**
 * Keeps a step from hammering a server that is away.
 *
 * - *closed*: all is well; `failures` infrastructure errors in a row, or one that says so or how long to wait, open it.
 * - *open*: nothing is consumed. When `probeMs` have passed, `probeDue` turns true: one message may try.
 * - A success closes it; another failure keeps it open and starts the wait anew.
 */
export class Circuit {
  readonly #options: CircuitOptions;
  readonly #now: () => number;
  readonly #onChange: (open: boolean, error: InfrastructureError | undefined) => void;
  #failuresInARow = 0;
  #open = false;
  #probeAt = 0;

  constructor(
    options: CircuitOptions,
    onChange: (open: boolean, error: InfrastructureError | undefined) => void,
    now: () => number = Date.now,
  ) {
    this.#options = options;
    this.#onChange = onChange;
    this.#now = now;
  }

  get open(): boolean {
    return this.#open;
  }

  get probeDue(): boolean {
    return this.#open && this.#now() >= this.#probeAt;
  }

  succeeded(): void {
    this.#failuresInARow = 0;
    if (!this.#open) return;
    this.#open = false;
    this.#onChange(false, undefined);
  }

  failed(error: InfrastructureError): void {
    this.#failuresInARow += 1;
    // A server that says when to come back has said that it has had enough.
    const enough = error.opensCircuit || error.retryAfterMs !== undefined;
    const opens = !this.#open && (enough || this.#failuresInARow >= this.#options.failures);
    if (this.#open || opens)
      this.#probeAt = this.#now() + Math.max(this.#options.probeMs, error.retryAfterMs ?? 0);
    if (!opens) return;
    this.#open = true;
    this.#onChange(true, error);
  }
}
