/** One message to one customer, ready to be sent. */
export interface Notification {
  /** The idempotency key, from notice and order: the same on every try. */
  key: string;
  /** The customer's phone number, E.164 (`+8210…`). */
  to: string;
  locale: string;
  /** The template this was rendered from. */
  template: string;
  text: string;
}

/**
 * What became of one notification:
 *
 * - `delivered`: the gateway has it and will bring it, exactly once.
 * - `permanent`: this recipient can't be reached (a wrong number); trying again is useless.
 * - `retriable`: this recipient could not be served now, and nothing was sent.
 * - `unconfirmed`: sent, outcome unknown; sending it again might tell the customer twice.
 */
export type SendResult =
  | { readonly status: 'delivered'; readonly gatewayId: string }
  | { readonly status: 'permanent'; readonly reason: string }
  | { readonly status: 'retriable'; readonly reason: string }
  | { readonly status: 'unconfirmed'; readonly reason: string };

/** A way to reach customers: a real provider, or the simulator. */
export interface Gateway {
  /** How many notifications `send` takes at most in one call. */
  readonly maxRecipients: number;
  /** For how long, in ms, the gateway recognizes a repeated key; undefined if it never does. */
  readonly idempotentForMs: number | undefined;
  /**
   * Sends notifications and returns one result for each, in the same order; a result the gateway
   * leaves out is `unconfirmed`.
   *
   * Throws `InfrastructureError` if the gateway is away or busy and the same keys may be sent again, and
   * `GatewayRefused` if it refuses the call as a whole (400, 413): nothing was sent, one of them is to blame.
   * A gateway without `idempotentForMs` throws only if nothing can have been sent.
   */
  send(notifications: readonly Notification[]): Promise<SendResult[]>;
  close(): Promise<void>;
}

/** Says that the gateway refused a whole call because of what it contained (400, 413). Nothing was sent. */
export class GatewayRefused extends Error {
  override name = 'GatewayRefused';
}
