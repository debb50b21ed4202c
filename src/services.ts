import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Config } from './config/schema.ts';
import { today } from './rules/dates.ts';
import type { Limits } from './rules/judge.ts';
import type { ShipDate } from './rules/notice.ts';
import type { Log, Store } from './store/store.ts';
import type { Gateway } from './tms/gateway.ts';
import { httpGateway } from './tms/http.ts';
import { loadTemplates, type Templates } from './tms/templates.ts';

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

/** Makes the services as the configuration says, over a store and a gateway that are open. */
export function servicesOf(
  config: Config,
  { now = () => new Date(), ...open }: Pick<Services, 'store' | 'gateway' | 'log'> & { now?: () => Date },
): Services {
  const templates = readFileSync(new URL('../config/templates.yaml', import.meta.url), 'utf8');
  return {
    ...open,
    templates: loadTemplates(parse(templates)),
    limits: config.limits,
    today: () => today(now, config.shop.timeZone),
    now,
    gatewayParallel: config.tms.parallel,
    sendInFlightMs: 2 * config.tms.timeoutMs,
  };
}

/** Opens the client of the gateway as the configuration says. */
export const gatewayOf = ({ tms }: Config, log: Log): Gateway =>
  httpGateway({
    ...tms,
    idempotentForMs: tms.idempotentForMs === 0 ? undefined : tms.idempotentForMs,
    apiKey: tms.apiKey === '' ? undefined : tms.apiKey,
    log,
  });
