import { pause } from '../pause.ts';
import { InfrastructureError } from '../pipeline/errors.ts';
import { headerNames, markHeaders, type Publication, publicationTo } from '../pipeline/message.ts';
import { exchanges } from '../pipeline/topology.ts';
import { endRetry } from '../store/failureOperations.ts';
import { withLock } from '../store/lock.ts';
import { markPublished, type Resend, takeNext, undecided, unpublished } from '../store/resends.ts';
import {
  finishRetries,
  type RetryEnd,
  type RunningRetry,
  recordEnds,
  runningRetries,
} from '../store/retries.ts';
import type { Log, Store } from '../store/store.ts';
import { endsOf, type KnownOrders } from './ends.ts';
import { createPace, type Pace } from './pace.ts';
import { retryName } from './retryName.ts';

export interface RetriesOptions {
  store: Store;
  /** Publishes one message and waits for RabbitMQ's confirm. */
  publish: (publication: Publication) => Promise<void>;
  /** Whether a publish would go through now: if not, what goes to the legacy run need not wait for it. */
  ready: () => boolean;
  /** The lanes there are; what came in one that is no more goes in the last. */
  lanes: readonly string[];
  log: Log;
  /** How often to look what there is to do, in ms; default 200. */
  pollMs?: number;
  /** How often to try to take over from a process that did it so far, in ms; default 2,000. */
  takeOverMs?: number;
  /** Told how retries ended. */
  ended?: (state: RetryEnd['state'], count: number) => void;
}

/** So many are sent at once, and so many may be on their way. */
const batchSize = 250;
const maxOnTheirWay = 1_000;

/**
 * Runs the retries that operators began, one process at a time: sends what waits, at the rate that was asked for,
 * looks what became of it, and stops a retry whose messages fail again.
 *
 * All that it knows stands in Postgres: if it dies anywhere, another process goes on. A message may then be published
 * twice, whose second finds its orders settled.
 */
export function startRetries(options: RetriesOptions): { stop(): Promise<void> } {
  const { store, log, pollMs = 200, takeOverMs = 2_000 } = options;
  const stopping = new AbortController();
  const { signal } = stopping;

  const running = (async () => {
    while (!signal.aborted) {
      try {
        await withLock(store, 'failed retries', async (lost) => {
          const turn = createTurn(options);
          while (!signal.aborted && !lost.aborted) {
            const startedAt = performance.now();
            await turn();
            // What takes long to look at is looked at less often.
            await pause(Math.max(pollMs, performance.now() - startedAt), signal);
          }
        });
      } catch (error) {
        log.warn({ err: error }, 'retries of failed messages wait; trying again');
      }
      await pause(takeOverMs, signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** What a process keeps of a retry from one turn to the next; nothing is lost with it. */
interface Known {
  pace: Pace;
  orders: KnownOrders;
}

/** Makes the function that does what there is to do now, for all retries. */
function createTurn({ store, publish, ready, lanes, log, ended }: RetriesOptions): () => Promise<void> {
  const known = new Map<string, Known>();

  return async () => {
    const retries = await runningRetries(store);
    for (const name of known.keys())
      if (!retries.some(({ operationId }) => operationId === name)) known.delete(name);
    for (const retry of retries) {
      const of = known.get(retry.operationId) ?? { pace: createPace(retry.ratePerSecond), orders: new Map() };
      known.set(retry.operationId, of);
      await publishAll(await unpublished(store, retry.operationId, batchSize));
      const now = await decide(retry, of);
      if (now.state === 'running') await goOn(now, of);
    }
    for (const operationId of await finishRetries(store)) log.info({ operationId }, 'a retry has ended');
  };

  /** Sends what may be sent now, batch after batch: as the pace has it, and until enough are on their way. */
  async function goOn(retry: RunningRetry, { pace }: Known): Promise<void> {
    const why = whyToStop(retry);
    if (why !== undefined) return stop(retry, why);
    let now = retry;
    for (;;) {
      const count = Math.min(howManyNow(now, pace), batchSize, maxOnTheirWay - now.sent, now.waiting);
      if (count <= 0) return;
      let next: Awaited<ReturnType<typeof takeNext>>;
      try {
        next = await takeNext(store, retry.operationId, count);
      } catch (error) {
        if (error instanceof InfrastructureError) throw error;
        // One that can't be sent must not keep all other retries waiting for ever.
        return stop(retry, `they could not be sent: ${(error as Error).message}`);
      }
      const { taken, resends } = next;
      pace.take(taken);
      await publishAll(resends);
      if (!ready() || taken === 0) return;
      now = { ...now, sent: now.sent + taken, waiting: now.waiting - taken };
    }
  }

  async function stop({ operationId }: RunningRetry, why: string): Promise<void> {
    await endRetry(store, operationId, { state: 'stopped', who: null, why });
    log.error({ operationId, why }, 'a retry was stopped; see `chodang failed history`');
  }

  async function publishAll(resends: readonly Resend[]): Promise<void> {
    if (!ready()) return; // marked as sent, not as published: taken up again
    const confirmed: Resend[] = [];
    const results = await Promise.allSettled(
      resends.map(async (resend) => {
        await publish(publicationOf(resend, lanes));
        confirmed.push(resend);
      }),
    );
    for (const operationId of new Set(confirmed.map((resend) => resend.operationId)))
      await markPublished(
        store,
        operationId,
        confirmed.filter((each) => each.operationId === operationId).map(({ failureId }) => failureId),
      );
    const failed = results.find((result) => result.status === 'rejected');
    if (!failed) return;
    if (!(failed.reason instanceof InfrastructureError)) throw failed.reason;
    log.warn({ err: failed.reason }, 'failed messages could not be published again yet; trying on');
  }

  /** Looks which of those that were sent have ended, and tells how the retry stands after that. */
  async function decide(retry: RunningRetry, { orders }: Known): Promise<RunningRetry> {
    let after = '0';
    const now = { ...retry };
    const seen = new Set<string>();
    for (;;) {
      const page = await undecided(store, retry.operationId, { limit: batchSize, after });
      const ends = await endsOf(store, page, orders);
      await recordEnds(store, ends);
      for (const { failureId, state } of ends) {
        orders.delete(failureId);
        now.sent -= 1;
        if (state === 'resolved') now.resolved += 1;
        else now.failedAgain += 1;
        ended?.(state, 1);
      }
      for (const { failureId } of page) seen.add(failureId);
      const last = page.at(-1);
      if (!last) break;
      after = last.failureId;
    }
    // The failures actor has ended those that failed again.
    for (const failureId of orders.keys()) if (!seen.has(failureId)) orders.delete(failureId);
    return now;
  }
}

/** Tells why a retry should stop by itself; undefined if it should not. */
export function whyToStop(retry: RunningRetry): string | undefined {
  const { canary, stopAfter, sent, resolved, failedAgain, waiting } = retry;
  if (waiting === 0) return undefined;
  if (failedAgain > 0 && sent + resolved + failedAgain <= canary)
    return 'a message of the canary failed again';
  return failedAgain >= stopAfter ? `${failedAgain} messages failed again` : undefined;
}

/** Tells how many may be sent now: the canary, then nothing until it has ended well, then as the pace has it. */
export function howManyNow({ canary, sent, resolved, failedAgain }: RunningRetry, pace: Pace): number {
  const begun = sent + resolved + failedAgain;
  if (begun < canary) return canary - begun;
  if (begun === canary && sent > 0) return 0;
  return pace.allows();
}

/** The message as it goes back to its step: under a new id, with its attempts reset, and a header that names the retry. */
function publicationOf(resend: Resend, lanes: readonly string[]): Publication {
  const { step, type, headers, body } = resend;
  const lane = lanes.includes(resend.lane) ? resend.lane : (lanes.at(-1) ?? resend.lane);
  const redelivered = headers[headerNames.redelivered] === 1;
  const marks = markHeaders({ redelivered, retry: retryName(resend) });
  const publication = publicationTo(exchanges.steps, step, lane, body, marks);
  // AMQP takes no more than 255 bytes; three for each character at most.
  if (type !== null) publication.type = type.slice(0, 85);
  return publication;
}
