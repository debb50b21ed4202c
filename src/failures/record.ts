import { InfrastructureError } from '../pipeline/errors.ts';
import { Culprit, halve } from '../pipeline/halve.ts';
import { type Failure, recordFailures } from '../store/failures.ts';
import type { Store } from '../store/store.ts';

/**
 * Records failures, and where one of them can't be (an order id that no index takes, say), that one without its
 * orders: the messages behind it must not wait for it for ever.
 */
export async function record(
  store: Store,
  all: readonly Failure[],
  options: { threshold?: number | undefined },
): Promise<void> {
  const run = async (some: readonly Failure[]) => {
    await recordFailures(store, some, options);
    return some.map(() => undefined);
  };
  const results = await halve(all, run, (error) => !(error instanceof InfrastructureError));
  const culprits = all.filter((_, at) => results[at] instanceof Culprit);
  await recordFailures(
    store,
    culprits.map((failure) => ({ ...failure, orders: [] })),
    options,
  );
}
