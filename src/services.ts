import type { Limits } from './rules/judge.ts';
import type { ShipDate } from './rules/notice.ts';
import type { Log, Store } from './store/store.ts';
import type { Gateway } from './tms/gateway.ts';
import type { Templates } from './tms/templates.ts';

/** All that business steps and the legacy run may use; opened from the configuration at start. */
export interface Services {
  store: Store;
  gateway: Gateway;
  templates: Templates;
  limits: Limits;
  /** The day it is for the shop. */
  today: () => ShipDate;
  /** The clock. */
  now: () => Date;
  log: Log;
  /** Calls to the gateway at once, for one batch. */
  gatewayParallel: number;
  /**
   * How long a send that began elsewhere may still be under way, in ms: twice the gateway's timeout.
   * After that, with a gateway that knows no idempotency keys, it counts as `unconfirmed`.
   */
  sendInFlightMs: number;
}
