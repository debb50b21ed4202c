import { median } from './median.ts';
import { openServers } from './open.ts';
import { chodang, legacy } from './peers/chodang.ts';
import type { Contestant } from './peers/contestant.ts';
import { installPeers } from './peers/install.ts';
import type { Mode } from './peers/messages.ts';
import { bullmq, graphileWorker, pgBoss, pgBossGathered } from './peers/peer.ts';
import { redisVersion } from './peers/redis.ts';
import { expectOnce, round } from './run.ts';
import { addSellers } from './singles.ts';

const contestants = { chodang, bullmq, pgBoss, graphileWorker, legacy, pgBossGathered };
type Name = keyof typeof contestants;

/** Orders in a run of the mode `perOrder`, so that each takes some seconds. */
export const perOrderCounts: Record<Name, number> = {
  chodang: 60_000,
  bullmq: 3_000,
  pgBoss: 3_000,
  graphileWorker: 3_000,
  legacy: 1_000,
  pgBossGathered: 10_000,
};

/** Those whose best Chodang is held against. */
const rivals = ['bullmq', 'pgBoss', 'graphileWorker'] as const;
const inMode: Record<Mode, readonly Name[]> = {
  perOrder: ['chodang', ...rivals, 'pgBossGathered', 'legacy'],
  chunked: ['chodang', ...rivals],
};

/**
 * The same three steps by Chodang and by other queues: the same actors with the same SQL and the same client of the
 * gateway, on the same servers, the workers of each contestant in one process.
 *
 * - `perOrder`: a job is one order and goes through each step by itself. Chodang gets a notice for each order.
 * - `chunked`: a job is 500 orders. Chodang gets one notice for all.
 *
 * `legacy` is Chodang's old path, one order after the other in either mode. `pgBossGathered` is pg-boss with jobs of one
 * order, but as many as were fetched together go through a step in one call: in `perOrder` beside the others, since there
 * a job does not go by itself, and the answer to how much of the difference are the batches alone.
 *
 * Where there was a choice the peers got the better: a newer Node, and a clock that starts with the jobs made, where
 * Chodang's counts its intake over HTTP. BullMQ's Redis flushes to disk once a second, all others before they go on.
 *
 * Each contestant in turn is started, warmed up with as many orders as are measured then, measured, and stopped; each
 * round begins with another. `timesBestPeer…` is the median over the rounds of Chodang by the best rival of the round,
 * `timesLegacy` that of one notice for all orders by either path. Fails unless each order was notified, and delivered by
 * the simulator exactly once.
 */
export async function peers(options: {
  /** Of a run of the mode `chunked`. */
  orders: number;
  runs: number;
  /** Default: `perOrderCounts`. */
  counts?: Record<Name, number>;
  say: (line: string) => void;
}) {
  const { orders, runs, counts = perOrderCounts, say } = options;
  const versions = installPeers(say);
  const servers = await openServers(say);
  try {
    const apiKeys = await addSellers(servers);
    const measure = async (name: Name, mode: Mode, run: number) => {
      const contestant: Contestant = contestants[name];
      const count = mode === 'chunked' ? orders : counts[name];
      const running = await contestant(servers, apiKeys, mode);
      try {
        // As many as are measured: V8 goes on compiling for some seconds.
        await running.settle('warm-up', count);
        const seconds = await running.settle('order', count);
        await expectOnce(servers, count);
        say(
          `${mode}, run ${run}, ${name}: ${count} orders in ${seconds.toFixed(3)} s, ${round(count / seconds)} a second`,
        );
        return count / seconds;
      } finally {
        await running.stop();
      }
    };
    const rounds: Record<Mode, Round[]> = { perOrder: [], chunked: [] };
    for (let run = 1; run <= runs; run += 1) {
      const perOrder = await inTurn(run, inMode.perOrder, (name) => measure(name, 'perOrder', run));
      const chunked = await inTurn(run, inMode.chunked, (name) => measure(name, 'chunked', run));
      rounds.perOrder.push(perOrder);
      rounds.chunked.push({ ...chunked, legacy: perOrder.legacy });
    }
    return {
      scenario: 'peers',
      runs,
      orders,
      perOrder: medians(rounds.perOrder),
      chunked: medians(rounds.chunked),
      timesBestPeerPerOrder: times(rounds.perOrder, rivals),
      timesBestPeerChunked: times(rounds.chunked, rivals),
      timesLegacy: times(rounds.chunked, ['legacy']),
      timesPgBossGathered: times(rounds.perOrder, ['pgBossGathered']),
      versions: { ...versions, redis: redisVersion(), nodeOfChodang: process.versions.node },
    };
  } finally {
    await servers.close();
  }
}

/** Orders a second of each contestant; NaN for one that does not run in the mode. */
type Round = Record<Name, number>;

/** Measures one after the other, beginning with another one in each run. */
async function inTurn(
  run: number,
  names: readonly Name[],
  measure: (name: Name) => Promise<number>,
): Promise<Round> {
  const measured = Object.fromEntries(Object.keys(contestants).map((name) => [name, Number.NaN])) as Round;
  for (let at = 0; at < names.length; at += 1) {
    const name = names[(at + run - 1) % names.length] as Name;
    measured[name] = await measure(name);
  }
  return measured;
}

/** The median of how many times as many orders as the best of some others Chodang settled. */
const times = (rounds: readonly Round[], others: readonly Name[]) =>
  round(median(rounds.map((each) => each.chodang / Math.max(...others.map((name) => each[name])))), 2);

const medians = (rounds: readonly Round[]) =>
  Object.fromEntries(
    (Object.keys(contestants) as Name[])
      .map((name) => [name, round(median(rounds.map((each) => each[name])))] as const)
      .filter(([, perSecond]) => !Number.isNaN(perSecond)),
  );
