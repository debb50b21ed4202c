import { InfrastructureError } from '../pipeline/errors.ts';
import { type Gateway, GatewayRefused, type Notification, type SendResult } from './gateway.ts';

/** What became of one notification, or why it was not sent. */
export type SendOutcome = SendResult | InfrastructureError | GatewayRefused;

/** One call to the gateway: `notifications.slice(from, to)`. */
interface Call {
  from: number;
  to: number;
}

/**
 * Sends any number of notifications: in calls of at most `gateway.maxRecipients`, at most `parallel` at once.
 *
 * Returns one outcome per notification, in the same order, and never throws:
 *
 * - A call that is refused is halved until the culprit stands alone: that one gets the `GatewayRefused`,
 *   its neighbours are sent.
 * - After an `InfrastructureError` no further call is begun: its own notifications and all that were still
 *   waiting get that error (`nothingDone` for these). Calls already under way get what they get.
 * - Anything else that a gateway throws is a bug of ours, its outcome unknown: an `InfrastructureError` that
 *   opens the circuit where the same keys may be sent again, else `unconfirmed`.
 */
export async function sendAll(
  gateway: Gateway,
  notifications: readonly Notification[],
  { parallel }: { parallel: number },
): Promise<SendOutcome[]> {
  const notSentYet = unconfirmed('not sent yet');
  const outcomes = notifications.map((): SendOutcome => notSentYet);
  const waiting: Call[] = [];
  for (let from = 0; from < notifications.length; from += gateway.maxRecipients) {
    waiting.push({ from, to: Math.min(from + gateway.maxRecipients, notifications.length) });
  }
  let away: InfrastructureError | undefined;

  const sendWaiting = async () => {
    for (let call = waiting.shift(); call; call = waiting.shift()) {
      if (away) {
        outcomes.fill(notBegun(away), call.from, call.to);
        continue;
      }
      const sent = await sendOne(gateway, notifications.slice(call.from, call.to));
      if (sent instanceof GatewayRefused && call.to - call.from > 1) {
        const middle = Math.ceil((call.from + call.to) / 2);
        waiting.unshift({ from: call.from, to: middle }, { from: middle, to: call.to });
      } else if (sent instanceof Error) {
        if (sent instanceof InfrastructureError) away ??= sent;
        outcomes.fill(sent, call.from, call.to);
      } else {
        for (let i = call.from; i < call.to; i++) {
          outcomes[i] = sent[i - call.from] ?? unconfirmed('the gateway left this result out');
        }
      }
    }
  };
  const width = Math.max(1, Math.min(parallel, waiting.length));
  await Promise.all(Array.from({ length: width }, sendWaiting));
  return outcomes;
}

async function sendOne(
  gateway: Gateway,
  notifications: readonly Notification[],
): Promise<SendResult[] | InfrastructureError | GatewayRefused> {
  try {
    return await gateway.send(notifications);
  } catch (error) {
    if (error instanceof InfrastructureError || error instanceof GatewayRefused) return error;
    const message = `the gateway threw what it must not throw: ${String(error)}`;
    if (gateway.idempotentForMs === undefined) return notifications.map(() => unconfirmed(message));
    return new InfrastructureError(message, { cause: error, opensCircuit: true });
  }
}

/** The same trouble, for a call that was not even begun. */
const notBegun = ({ message, cause, retryAfterMs, opensCircuit }: InfrastructureError) =>
  new InfrastructureError(message, { cause, retryAfterMs, opensCircuit, nothingDone: true });

const unconfirmed = (reason: string): SendResult => ({ status: 'unconfirmed', reason });
