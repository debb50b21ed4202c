/** What is known of an infrastructure error besides its message; see the fields of `InfrastructureError`. */
export interface InfrastructureErrorOptions {
  cause?: unknown;
  retryAfterMs?: number | undefined;
  /** Default: false. */
  opensCircuit?: boolean;
  /** Default: true. */
  countsForCircuit?: boolean;
  /** Default: false. */
  nothingDone?: boolean;
}

/**
 * Says that a server we depend on (Postgres, RabbitMQ, the gateway) can't be had right now.
 *
 * It is not the message's fault: it never counts as an attempt. Several in a row open the step's circuit.
 */
export class InfrastructureError extends Error {
  override name = 'InfrastructureError';
  /** How long to leave the server alone, in ms, if it said so (`Retry-After`). */
  readonly retryAfterMs: number | undefined;
  /** True where waiting alone won't help (a refused key): the circuit opens at once and developers are told. */
  readonly opensCircuit: boolean;
  /** False where this message alone must wait and the server is well: the circuit takes no notice. */
  readonly countsForCircuit: boolean;
  /** True where the server certainly did nothing of what it was asked, so that asking again repeats nothing. */
  readonly nothingDone: boolean;

  constructor(message: string, options: InfrastructureErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
    this.opensCircuit = options.opensCircuit ?? false;
    this.countsForCircuit = options.countsForCircuit ?? true;
    this.nothingDone = options.nothingDone ?? false;
  }
}

/** Says that a message can never be understood: bytes that aren't JSON, an unknown type, a field of the wrong shape. */
export class MalformedError extends Error {
  override name = 'MalformedError';
}

/** Says that a message took its process down so often (`maxRedeliveries`) that it may not run again. */
export class KilledProcessError extends Error {
  override name = 'KilledProcess';
}

/** Says that RabbitMQ took a message but no queue is bound for its routing key. */
export class UnroutableError extends InfrastructureError {
  override name = 'UnroutableError';
}
