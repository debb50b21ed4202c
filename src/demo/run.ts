import type { Config } from '../config/schema.ts';
import { entriesOf } from '../store/demo.ts';
import { addApiKey } from '../store/sellers.ts';
import type { Store } from '../store/store.ts';
import { check } from './check.ts';
import { type Loaded, type LoadOptions, loadFile, loadGenerated } from './load.ts';
import { postAll } from './post.ts';
import { finishEarlier, settledOf, untilSettled } from './settle.ts';
import type { Outcome } from './summary.ts';
import { toldSince, toldSoFar } from './told.ts';

/** Shows how far something is. */
export interface Shown {
  update(done: number, told?: string): void;
  stop(): void;
}

export interface RunOptions {
  config: Config;
  store: Store;
  /** Where the API listens. */
  api: string;
  /** A file of orders; without it, `size` are generated. */
  file: string | undefined;
  size: number;
  /** What reading a row must know of the shop. */
  shop: Pick<LoadOptions, 'today' | 'timeZone' | 'locale'>;
  signal: AbortSignal;
  /** Begins to show a part of the run; `total` is 0 where it isn't known. */
  show: (title: string, total: number) => Shown;
}

/** What a run came to, with an order to try things out on. */
export interface Ran {
  outcome: Outcome;
  sample: { orderId: string; apiKey: string; phone: string; newShipDate: string } | undefined;
}

/**
 * Does the main job once, against an API that runs: loads orders, posts the notices, waits until every order
 * settled, and checks each against what the rules say, and against what the simulator delivered.
 */
export async function runOnce(options: RunOptions): Promise<Ran> {
  const { config, store, api, signal, show } = options;
  await shown(show('finishing what an earlier run left', 0), (bar) =>
    finishEarlier(store, { signal, onProgress: (left) => bar.update(0, `${left} orders left`) }),
  );
  const plan = await load(options);
  const apiKeys = await keysFor(store, plan, signal);
  const toldBefore = await toldSoFar(config.tms.url);

  const orders = plan.expected.size;
  const noticeIds: string[] = [];
  const startedAt = Date.now();
  let acceptedAt = startedAt;
  const [accepted, progress] = await shown(show('settling', orders), (bar) =>
    both(
      signal,
      async (signal) => {
        const accepted = await postAll(plan.notices, {
          url: api,
          apiKeys,
          signal,
          onAccepted: ({ noticeId }) => noticeIds.push(noticeId),
        });
        acceptedAt = Date.now();
        return accepted;
      },
      (signal) =>
        untilSettled(store, noticeIds, orders, {
          signal,
          onProgress: (soFar) => bar.update(settledOf(soFar), inWords(soFar.counts)),
        }),
    ),
  );
  const { lastSettledAt, counts } = progress;
  const checked = check(plan, await entriesOf(store, noticeIds), await toldSince(config.tms.url, toldBefore));
  const seconds = Math.max(0.001, ((lastSettledAt?.getTime() ?? Date.now()) - startedAt) / 1_000);
  const paths: Record<string, number> = {};
  for (const { path } of accepted) paths[path] = (paths[path] ?? 0) + 1;
  const outcome: Outcome = {
    orders: {
      from: options.file ?? 'generated',
      loaded: plan.orders,
      sellers: plan.sellers,
      rejectedRows: plan.rejectedRows,
    },
    notices: plan.notices.length,
    postedBy: apiKeys.size,
    paths,
    accepted: accepted.reduce((sum, notice) => sum + notice.orders, 0),
    counts,
    rejected: checked.rejected,
    seconds,
    acceptSeconds: (acceptedAt - startedAt) / 1_000,
    ordersPerSecond: settledOf(progress) / seconds,
    notifications: checked.notifications,
    asExpected: checked.problemCount === 0,
    problems: checked.problems,
    problemCount: checked.problemCount,
  };
  return { outcome, sample: sampleOf(plan, apiKeys) };
}

async function load({ config, store, file, size, shop, signal, show }: RunOptions): Promise<Loaded> {
  let bar: Shown | undefined;
  const options: LoadOptions = {
    ...shop,
    limits: config.limits,
    maxOrders: config.limits.maxOrdersPerNotice,
    signal,
    onProgress(done, total, told) {
      bar ??= show('loading', total);
      bar.update(done, told);
    },
  };
  try {
    return file === undefined
      ? await loadGenerated(store, size, options)
      : await loadFile(store, file, options);
  } finally {
    bar?.stop();
  }
}

async function keysFor(store: Store, { notices }: Loaded, signal: AbortSignal): Promise<Map<string, string>> {
  const keys = new Map<string, string>();
  for (const { sellerId } of notices) {
    signal.throwIfAborted();
    if (!keys.has(sellerId)) keys.set(sellerId, await addApiKey(store, sellerId));
  }
  return keys;
}

/** Does two things at once; if one of them throws, the other is stopped, and waited for. */
async function both<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const stopping = new AbortController();
  const stop = () => stopping.abort(signal.reason);
  signal.addEventListener('abort', stop);
  const orStop = async <T>(running: Promise<T>): Promise<T> => {
    try {
      return await running;
    } catch (error) {
      stopping.abort(error);
      throw error;
    }
  };
  try {
    const a = orStop(first(stopping.signal));
    const b = orStop(second(stopping.signal));
    await Promise.allSettled([a, b]);
    return [await a, await b];
  } catch (error) {
    // What was thrown first; the other one only says that it was stopped.
    throw stopping.signal.aborted ? stopping.signal.reason : error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function shown<T>(bar: Shown, work: (bar: Shown) => Promise<T>): Promise<T> {
  try {
    return await work(bar);
  } finally {
    bar.stop();
  }
}

const inWords = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${state} ${count.toLocaleString('en-US')}`)
    .join(', ');

/** An order whose customer was told. */
function sampleOf(plan: Loaded, apiKeys: ReadonlyMap<string, string>): Ran['sample'] {
  for (const { sellerId, newShipDate, orderIds } of plan.notices)
    for (const orderId of orderIds) {
      const key = `${sellerId}\0${orderId}`;
      if (plan.expected.get(key) !== 'notified') continue;
      return { orderId, apiKey: apiKeys.get(sellerId) ?? '', phone: plan.phones.get(key) ?? '', newShipDate };
    }
  return undefined;
}
