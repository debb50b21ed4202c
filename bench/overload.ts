import { addApiKey } from '../src/store/sellers.ts';
import { load } from './load.ts';
import { medians, quantile } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { sellerIds } from './orders.ts';
import { beginRun, dayIn, round, type Servers, untilNotified } from './run.ts';
import { watchMemory } from './watchMemory.ts';

const sellers = 1_000;
const ordersPerNotice = 100;
/** How long the gateway takes for a call while there is too much to do, which is what slows the pipeline down. */
const latencyMs = 1_500;
/** So many times what the pipeline does must be offered, or the run shows nothing. */
const timesAtLeast = 10;

/**
 * Much more than the pipeline can do, for `seconds`: notices of 100 orders over HTTP, `offered` orders a second, while the
 * gateway takes 1.5 s for each call. What waits meanwhile, what is refused, and the process's memory, for which the
 * first quarter is compared with the last. Then the gateway is quick again, until all that was accepted is `notified`.
 *
 * Fails unless ten times as much was offered as was settled meanwhile, each order of each accepted notice was delivered
 * exactly once, and nothing of a refused one is in the database.
 */
export async function overload(options: {
  seconds: number;
  offered: number;
  runs: number;
  say: (line: string) => void;
}) {
  const { seconds, offered, runs, say } = options;
  const servers = await openServers(say);
  try {
    const apiKeys = await Promise.all(sellerIds(sellers).map((id) => addApiKey(servers.store, id)));
    const chodang = await servers.startChodang();
    const measured: Measured[] = [];
    for (let run = 0; run <= runs; run += 1) {
      const isWarmUp = run === 0;
      const result = await once(servers, chodang, apiKeys, { seconds: isWarmUp ? 5 : seconds, offered });
      say(
        `${isWarmUp ? 'warm-up' : `run ${run}`}: ${round(result.times, 1)} times what was settled, of ${result.offered} orders ` +
          `${result.waiting} waited in the end, ${result.refused} were refused; ${round(result.rssMbFirst)} MB in the first quarter, ` +
          `${round(result.rssMbLast)} in the last, ${round(result.rssMbMost)} at most; all settled ${round(result.drainSeconds, 1)} s later`,
      );
      if (isWarmUp) continue;
      if (result.times < timesAtLeast)
        throw new Error(`expected ${timesAtLeast} times what was settled, got ${result.times}: offer more`);
      measured.push(result);
    }
    const { rssMbMost, times, drainSeconds, ...counts } = medians<keyof Measured>(measured);
    return {
      scenario: 'overload',
      runs,
      seconds,
      ...Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, round(value)])),
      rssMbMost: round(Math.max(rssMbMost, ...measured.map((each) => each.rssMbMost))),
      times: round(times, 1),
      drainSeconds: round(drainSeconds, 1),
    };
  } finally {
    await servers.close();
  }
}

interface Measured {
  /** Orders, all told. */
  offered: number;
  refused: number;
  /** Orders that were accepted and not settled when the last notice had its answer. */
  waiting: number;
  /** How many times as many orders were offered as were settled meanwhile. */
  times: number;
  /** Resident memory: the median in the first and in the last quarter of the overload, and the most until all was settled. */
  rssMbFirst: number;
  rssMbLast: number;
  rssMbMost: number;
  /** From the last answer until all was settled. */
  drainSeconds: number;
}

async function once(
  servers: Servers,
  chodang: Subject,
  apiKeys: readonly string[],
  { seconds, offered }: { seconds: number; offered: number },
): Promise<Measured> {
  const perSecond = Math.ceil(offered / ordersPerNotice);
  const count = perSecond * seconds;
  await beginRun(servers, {
    prefix: 'overload',
    count: Math.ceil(count / sellers) * sellers * ordersPerNotice,
    sellers,
  });
  await slowDown(servers, latencyMs);
  const memory = watchMemory(chodang);
  const overall = watchMemory(chodang);
  const { notices, refused } = await load({
    address: chodang.address,
    apiKeys: [...apiKeys],
    prefix: 'overload',
    count,
    orders: ordersPerNotice,
    perSecond,
    newShipDate: dayIn(7),
    again: false,
  });
  const seen = memory.stop();
  const settled = (await servers.delivered()).delivered;
  await slowDown(servers, 0);
  const accepted = notices.length * ordersPerNotice;
  const drainSeconds = await untilNotified(servers, accepted, { withinMs: 900_000, pollMs: 200 });
  await nothingElse(servers, notices.length);
  const quarter = Math.ceil(seen.length / 4);
  return {
    offered: count * ordersPerNotice,
    refused: refused * ordersPerNotice,
    waiting: accepted - settled,
    times: (count * ordersPerNotice) / settled,
    rssMbFirst: quantile(seen.slice(0, quarter), 0.5),
    rssMbLast: quantile(seen.slice(-quarter), 0.5),
    rssMbMost: Math.max(...overall.stop()),
    drainSeconds,
  };
}

async function slowDown({ urls }: Servers, ms: number): Promise<void> {
  const response = await fetch(`${urls.tms}/v1/faults`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ latencyMs: ms }),
  });
  if (!response.ok)
    throw new Error(`the simulator answered ${response.status} to ${latencyMs} ms of latency`);
}

/** Fails if there are more notices than were accepted: a refused one must have left nothing. */
async function nothingElse({ store }: Servers, accepted: number): Promise<void> {
  const [row] = await store.rows<[number]>('select count(*)::int from notices');
  if (row?.[0] !== accepted)
    throw new Error(`expected the ${accepted} notices that were accepted, found ${row?.[0]}`);
}
