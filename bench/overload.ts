import { addApiKey } from '../src/store/sellers.ts';
import { load } from './load.ts';
import type { Loaded } from './loader.ts';
import { medians, quantile } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { sellerIds } from './orders.ts';
import { beginRun, dayIn, expectOnce, round, type Servers, untilNotified } from './run.ts';
import { watchMemory } from './watchMemory.ts';

const sellers = 1_000;
/** No process may hold more. */
const mostMb = 300;

/** A way of asking too much. */
interface Kind {
  /** Orders in each notice. */
  orders: number;
  /** Orders offered a second. */
  offered: number;
  /** How long the gateway takes for each call. */
  latencyMs: number;
  /** Whether a run shows what it is for. */
  shows(measured: Measured): string | undefined;
}

/**
 * Much more than there is room for, for `seconds`, in two kinds:
 *
 * - `slowGateway`: lists of 100 orders while the gateway takes 1.5 s for each call, ten times at least what the pipeline
 *   settles then: the excess waits in RabbitMQ;
 * - `manyRequests`: notices of one order each, more than the API can take in: the excess is refused with 503 and
 *   `Retry-After`, and not posted again.
 *
 * The process's memory in the first quarter is told beside that in the last, and the most until all was settled with the
 * gateway quick again. Fails unless each order of just the notices that were answered with 202 was notified and sent
 * once, nothing of others was stored, and the process held less than 300 MB.
 */
export async function overload(options: {
  seconds: number;
  offered: number;
  requests: number;
  only?: string | undefined;
  runs: number;
  say: (line: string) => void;
}) {
  const { seconds, offered, requests, only, runs, say } = options;
  const kinds: Record<string, Kind> = {
    slowGateway: {
      orders: 100,
      offered,
      latencyMs: 1_500,
      shows: ({ times }) => (times < 10 ? `${times} times what was settled, offer more` : undefined),
    },
    manyRequests: {
      orders: 1,
      offered: requests,
      latencyMs: 0,
      shows: ({ refused }) => (refused === 0 ? 'nothing was refused, request more' : undefined),
    },
  };
  const servers = await openServers(say);
  try {
    const apiKeys = await Promise.all(sellerIds(sellers).map((id) => addApiKey(servers.store, id)));
    const chodang = await servers.startChodang();
    const measured = new Map<string, Measured[]>();
    for (let run = 0; run <= runs; run += 1)
      for (const [name, kind] of Object.entries(kinds)) {
        if (only !== undefined && only !== name) continue;
        const result = await once(servers, chodang, apiKeys, kind, run === 0 ? 5 : seconds);
        say(`${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${JSON.stringify(rounded(result))}`);
        if (run === 0) continue;
        const why = result.rssMbMost > mostMb ? `${result.rssMbMost} MB` : kind.shows(result);
        if (why !== undefined) throw new Error(`${name}: ${why}`);
        measured.set(name, [...(measured.get(name) ?? []), result]);
      }
    const all = [...measured].map(([name, each]) => [name, rounded(medians(each))]);
    return { scenario: 'overload', runs, seconds, ...Object.fromEntries(all) };
  } finally {
    await servers.close();
  }
}

type Measured = Record<
  /** Orders, all told. */
  | 'offered'
  | 'refused'
  /** Orders that were accepted and not sent when the last notice had its answer. */
  | 'waiting'
  /** How many times as many orders were offered as were sent meanwhile. */
  | 'times'
  /** Resident memory: the median in the first and in the last quarter of the overload, and the most until all was settled. */
  | 'rssMbFirst'
  | 'rssMbLast'
  | 'rssMbMost'
  /** From the last answer until all was settled. */
  | 'drainSeconds',
  number
>;

const rounded = (measured: Measured) =>
  Object.fromEntries(Object.entries(measured).map(([name, value]) => [name, round(value, 1)]));

async function once(
  servers: Servers,
  chodang: Subject,
  apiKeys: readonly string[],
  { orders, offered, latencyMs }: Kind,
  seconds: number,
): Promise<Measured> {
  const perSecond = Math.ceil(offered / orders);
  const count = perSecond * seconds;
  await beginRun(servers, {
    prefix: 'overload',
    count: Math.ceil(count / sellers) * sellers * orders,
    sellers,
  });
  await slowDown(servers, latencyMs);
  const memory = watchMemory(chodang);
  try {
    const loaded = await load({
      address: chodang.address,
      apiKeys: [...apiKeys],
      prefix: 'overload',
      count,
      orders,
      perSecond,
      newShipDate: dayIn(7),
      connections: 3_000, // more than may be under way
      again: false,
    });
    const during = memory.seen();
    const sent = (await servers.delivered()).delivered;
    await slowDown(servers, 0);
    const accepted = loaded.notices.length * orders;
    const drainSeconds = await untilNotified(servers, accepted, { withinMs: 900_000 });
    await expectOnce(servers, accepted);
    await expectOnlyAccepted(servers, loaded);
    const quarter = Math.ceil(during.length / 4);
    return {
      offered: count * orders,
      refused: loaded.refused * orders,
      waiting: accepted - sent,
      times: (count * orders) / sent,
      rssMbFirst: quantile(during.slice(0, quarter), 0.5),
      rssMbLast: quantile(during.slice(-quarter), 0.5),
      rssMbMost: Math.max(...memory.seen()),
      drainSeconds,
    };
  } finally {
    memory.stop();
  }
}

async function slowDown({ urls }: Servers, ms: number): Promise<void> {
  const response = await fetch(`${urls.tms}/v1/faults`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ latencyMs: ms }),
  });
  if (!response.ok) throw new Error(`the simulator answered ${response.status} to ${ms} ms of latency`);
}

/** Fails unless the notices that were accepted, and no others, are stored. */
async function expectOnlyAccepted({ store }: Servers, { notices }: Loaded): Promise<void> {
  const [row] = await store.rows<[number, number, number]>(
    `select (select count(*)::int from notices where notice_id = any($1)), (select count(*)::int from notices),
            (select count(distinct notice_id)::int from intake)`,
    [notices.map(([noticeId]) => noticeId)],
  );
  if (row?.some((count) => count !== notices.length))
    throw new Error(`expected the ${notices.length} notices that were accepted, found ${row.join(', ')}`);
}
