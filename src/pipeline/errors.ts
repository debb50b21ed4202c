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

  constructor(
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined; opensCircuit?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
    this.opensCircuit = options.opensCircuit ?? false;
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
