import type { Delivery } from './broker/delivery.ts';
import { InfrastructureError } from './errors.ts';
import {
  attemptOf,
  headerNames,
  type Marks,
  markHeaders,
  type Publication,
  publicationTo,
  retryOf,
} from './message.ts';
import type { Parcel, Step } from './step.ts';
import { exchanges } from './topology.ts';

/** Gives deliveries back to wait in `<step>.retriable`, their attempts unchanged; never loses or counts one. */
export async function handBack<Header, Item>(
  step: Step<Header, Item>,
  lane: string,
  deliveries: readonly Delivery[],
): Promise<void> {
  await Promise.all(
    deliveries.map(async (delivery) => {
      const headers = waitingHeaders(attemptOf(step.name, delivery.headers) - 1, {
        redelivered: wasRedelivered(delivery),
        retry: retryOf(delivery.headers),
      });
      const publication = publicationTo(exchanges.retriable, step.name, lane, delivery.content, headers);
      if (delivery.type !== undefined) publication.type = delivery.type;
      while (delivery.alive()) {
        try {
          await step.broker.publish(publication);
          delivery.ack();
        } catch (error) {
          if (!(error instanceof InfrastructureError)) throw error;
          // Nowhere to put it: hold it until there is, or until RabbitMQ takes it back with the channel.
          await new Promise((resolve) => setTimeout(resolve, handBackAgainMs));
        }
      }
    }),
  );
}
const handBackAgainMs = 500;

/** Publishes, waits for every confirm, then acks. If RabbitMQ won't have it, the deliveries wait instead. */
export async function handOver<Header, Item>(
  step: Step<Header, Item>,
  publications: readonly Publication[],
  parcels: readonly Parcel<Header, Item>[],
): Promise<void> {
  const outcomes = await Promise.allSettled(publications.map((each) => step.broker.publish(each)));
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!refused) {
    for (const { delivery } of parcels) delivery.ack();
    return;
  }
  const error: unknown = refused.reason;
  if (!(error instanceof InfrastructureError)) throw error;
  for (const { lane, delivery, entries } of parcels) {
    step.observer.retriable(step.name, lane, entries.length, error, 'unchanged');
    await handBack(step, lane, [delivery]);
  }
}

export type WaitingHeaders = Record<string, string | number>;

/** The headers of what waits: RabbitMQ's own counts end with the message it counted, so ours go on. */
export const waitingHeaders = (attempts: number, of: Marks): WaitingHeaders => ({
  [headerNames.attempts]: attempts,
  ...markHeaders(of),
});

/** Whether an earlier delivery, or one that it came from, may have got as far as this one. */
export function wasRedelivered({ deliveryCount, headers }: Delivery): boolean {
  return deliveryCount > 0 || headers[headerNames.redelivered] === 1;
}
