import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { reasonCodes } from '../../src/rules/notice.ts';
import type { Services } from '../../src/services.ts';
import type { Store } from '../../src/store/store.ts';
import type { Gateway, Notification, SendResult } from '../../src/tms/gateway.ts';
import { loadTemplates } from '../../src/tms/templates.ts';
import { aToday } from './makers.ts';

/** A gateway in memory that remembers what customers got, and does as it is told. */
export interface ToldGateway extends Gateway {
  /** What reached customers, in order; twice if twice. */
  readonly told: Notification[];
  /** How many calls came in. */
  calls: number;
  /** What to answer for one notification; `delivered` unless told otherwise. */
  answer: (notification: Notification) => SendResult['status'] | Error;
  /** Runs when a call has been accepted, before it is answered; what it throws is what the caller gets. */
  afterAccepting: () => Promise<void> | void;
}

/** Makes a gateway that recognizes repeated keys for a day, or for so long, or (`never`) not at all. */
export function toldGateway(idempotentFor: number | 'never' = 86_400_000): ToldGateway {
  const idempotentForMs = idempotentFor === 'never' ? undefined : idempotentFor;
  const known = new Map<string, SendResult>();
  const gateway: ToldGateway = {
    maxRecipients: 100,
    idempotentForMs,
    told: [],
    calls: 0,
    answer: () => 'delivered',
    afterAccepting: () => undefined,
    async send(notifications) {
      gateway.calls++;
      for (const notification of notifications) {
        const answer = gateway.answer(notification);
        if (answer instanceof Error) throw answer;
      }
      const results = notifications.map((notification): SendResult => {
        const before = idempotentForMs === undefined ? undefined : known.get(notification.key);
        if (before) return before;
        const status = gateway.answer(notification) as SendResult['status'];
        if (status === 'retriable' || status === 'permanent') return { status, reason: 'as told' };
        gateway.told.push(notification);
        const result: SendResult =
          status === 'delivered'
            ? { status, gatewayId: `g-${gateway.told.length}` }
            : { status, reason: 'as told' };
        known.set(notification.key, result);
        return result;
      });
      await gateway.afterAccepting();
      return results;
    },
    close: async () => undefined,
  };
  return gateway;
}

/** What business steps need, on a store, with a day that stands still. */
export function theServices(store: Store, gateway: Gateway, parts: Partial<Services> = {}): Services {
  return {
    store,
    gateway,
    templates,
    limits: { maxDaysLate: 30, maxDelays: 3 },
    today: () => aToday,
    now: () => new Date(`${aToday}T03:00:00Z`),
    log: store.log,
    gatewayParallel: 2,
    sendInFlightMs: 10_000,
    ...parts,
  };
}

export const gatewayAway = new InfrastructureError('the gateway is away');

const texts = Object.fromEntries(
  reasonCodes.map((reason) => [reason, `#{order}: #{newDate}\n${reason}\n#{detail}`]),
);
const templates = loadTemplates({ ko: { reasons: texts }, en: { reasons: texts } });
