import type { AlertDelivery } from '../store/alertDeliveries.ts';
import type { Bundle } from '../store/alerts.ts';

/** What came of one try to bring a bundle into a channel. */
export type Outcome =
  | { delivered: true }
  /** `why` shows no secret; `retryAfterMs` is how long the channel asks to be left alone. */
  | { delivered: false; why: string; retryAfterMs?: number | undefined };

/** A way to reach developers. */
export interface Channel {
  name: string;
  /** Writes what is to be said of a bundle; the same for the same bundle. */
  bodyOf: (bundle: Bundle) => string;
  /** Sends a body once; it never throws, and ends early, undelivered, when `signal` aborts. */
  send: (delivery: AlertDelivery, signal: AbortSignal) => Promise<Outcome>;
}
