import { feedStep } from '../config/topology.ts';
import type { OrderEvent } from '../rules/orderEvent.ts';
import { orderEventsIn } from '../rules/orderFormat.ts';
import { failedOrdersOf } from '../rules/salvage.ts';
import type { OrderKey } from '../store/batch.ts';
import { areTaken } from '../store/orderEvents.ts';
import type { Resend } from '../store/resends.ts';
import { ledgerStatesOf, type RetryEnd } from '../store/retries.ts';
import type { Sql } from '../store/store.ts';

/** What is looked for, for each failure; reading it from the messages each time costs more. */
export type KnownOrders = Map<string, OrderKey[]>;

/**
 * Tells of retries that were sent which of them have ended, and how: the ledger knows what became of the orders of a
 * notice, the orders themselves whether an event was taken in.
 *
 * A message in which nothing can be made out tells nothing here: it can only fail again, which its header tells.
 */
export async function endsOf(db: Sql, sent: readonly Resend[], known: KnownOrders): Promise<RetryEnd[]> {
  const ofNotices = sent.filter(({ step }) => step !== feedStep);
  const ofFeed = sent.filter(({ step }) => step === feedStep);
  return [...(await endsOfNotices(db, ofNotices, known)), ...(await endsOfEvents(db, ofFeed))];
}

async function endsOfNotices(db: Sql, sent: readonly Resend[], known: KnownOrders): Promise<RetryEnd[]> {
  const keys = sent.map(({ failureId, body }) => {
    const own = known.get(failureId) ?? failedOrdersOf(body);
    known.set(failureId, own);
    return own;
  });
  const states = await ledgerStatesOf(db, keys.flat());
  let at = 0;
  return sent.flatMap(({ operationId, failureId }, i): RetryEnd[] => {
    const own = states.slice(at, (at += keys[i]?.length ?? 0));
    if (own.length === 0 || own.some((state) => state === undefined || state === 'delayed')) return [];
    return [{ operationId, failureId, state: own.includes('failed') ? 'failed_again' : 'resolved' }];
  });
}

async function endsOfEvents(db: Sql, sent: readonly Resend[]): Promise<RetryEnd[]> {
  const events = sent.map(({ body }) => eventsIn(body));
  const taken = await areTaken(db, events.flat());
  let at = 0;
  return sent.flatMap(({ operationId, failureId }, i): RetryEnd[] => {
    const own = taken.slice(at, (at += events[i]?.length ?? 0));
    return own.length > 0 && own.every(Boolean) ? [{ operationId, failureId, state: 'resolved' }] : [];
  });
}

function eventsIn(body: Buffer): OrderEvent[] {
  try {
    return orderEventsIn(body);
  } catch {
    return []; // unreadable: see above
  }
}
