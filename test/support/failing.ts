import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { headerNames } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { type Choice } from '../../src/store/failureChoice.ts';
import { findOperation } from '../../src/store/failureHistory.ts';
import { beginRetry, type Operation, type RetryOptions } from '../../src/store/failureOperations.ts';
import { type ListedFailure, listFailures } from '../../src/store/failures.ts';
import { until } from './wait.ts';
import type { World } from './world.ts';

/** A customer whom the gateway can't serve while a test says so. */
export const badPhone = '+821055556666';

/** All at once, and whatever fails again. */
export const atOnce: RetryOptions = { canary: 0, ratePerSecond: null, stopAfter: 1_000, path: null };

const oneAtATime = { batch: { size: 1 } };
/** Lays a world out so that each order that fails is a failure of its own, at its first attempt. */
export const oneByOne = {
  pipeline: { chunkSize: 1 },
  stepDefaults: { maxAttempts: 1, lanes: { express: oneAtATime, bulk: oneAtATime } },
};

/** A notice of which an order failed. */
export interface FailedNotice {
  noticeId: string;
  orderIds: string[];
  failure: ListedFailure;
}

/** Lets the gateway fail one order each of `count` new notices, and waits until that is recorded; the oldest first. */
export async function failing(
  world: World,
  count: number,
  { others = 0, ...post }: { others?: number } & Parameters<World['post']>[1] = {},
): Promise<FailedNotice[]> {
  await world.simulator.faults({ recipients: { [badPhone]: 'retriable' } });
  const notices = await Promise.all(
    Array.from({ length: count }, async () => {
      const orderIds = [...(await world.orders(1, { phone: badPhone })), ...(await world.orders(others))];
      return { orderIds, ...(await world.post(orderIds, post)) };
    }),
  );
  const recorded = await until(
    async () => {
      const all = await listFailures(world.store, { state: 'open', limit: 100_000 });
      const found = notices.map(({ noticeId }) => all.find(({ noticeIds }) => noticeIds.includes(noticeId)));
      return found.every((failure) => failure !== undefined) && found;
    },
    { what: `${count} failures are recorded`, timeoutMs: 30_000 },
  );
  for (const { noticeId } of notices) await world.settled(noticeId);
  return notices
    .map(({ noticeId, orderIds }, at) => ({ noticeId, orderIds, failure: recorded[at] ?? assert.fail() }))
    .toSorted((a, b) => Number(a.failure.failureId) - Number(b.failure.failureId));
}

/** The failures of notices, as somebody chooses them by their numbers. */
export const those = (notices: readonly FailedNotice[]): Choice => ({
  failureIds: notices.map(({ failure }) => failure.failureId),
});

/** Begins a retry as an operator would: all at once, unless told otherwise. */
export async function retry(
  world: Pick<World, 'store'>,
  choice: Choice,
  options: Partial<RetryOptions> = {},
): Promise<string> {
  const begun = await beginRetry(world.store, {
    by: { who: 'kim' },
    choice,
    options: { ...atOnce, ...options },
  });
  return begun.operationId;
}

/** Waits until nothing of an operation is waiting or under way, and returns it. */
export async function ended(
  { store }: Pick<World, 'store'>,
  operationId: string,
  timeoutMs = 30_000,
): Promise<Operation> {
  let last: Operation | undefined;
  return until(
    async () => {
      last = await findOperation(store, operationId);
      return last?.state !== 'running' && !last?.items.sent && last;
    },
    { what: `operation ${operationId} has ended`, timeoutMs },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; ${JSON.stringify(last)}`);
  });
}

/** How many of an operation's failures are in each state now. */
export const itemsOf = async ({ store }: Pick<World, 'store'>, operationId: string) =>
  (await findOperation(store, operationId))?.items ?? {};

/** Notes every message that is published to a step with the header of a retry, until it is closed. */
export async function tapRetries(url: string) {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  await channel.bindQueue(queue, exchanges.steps, '#');
  const seen: { retry: string; step: string; id: string }[] = [];
  await channel.consume(
    queue,
    (message) => {
      const { headers = {}, messageId } = message?.properties ?? {};
      const name: unknown = headers[headerNames.retry];
      // What comes back from <step>.retriable was published before.
      if (message && typeof name === 'string' && headers['x-death'] === undefined)
        seen.push({
          retry: name,
          step: message.fields.routingKey.split('.')[0] ?? '',
          id: String(messageId),
        });
    },
    { noAck: true },
  );
  return {
    seen,
    /** How often a message of each failure was given to a step, by the failure's id. */
    times(step: string): Record<string, number> {
      const times: Record<string, number> = {};
      for (const each of seen) {
        const failureId = each.retry.split('/')[1] ?? '';
        if (each.step === step) times[failureId] = (times[failureId] ?? 0) + 1;
      }
      return times;
    },
    close: () => connection.close(),
  };
}
