import { addDays, today } from '../src/rules/dates.ts';
import { upsertOrders } from '../src/store/orders.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { median, medians } from './median.ts';
import { openBench, type Subject } from './open.ts';

/**
 * One POST of `orders` orders of one seller, from the request sent until every order is seen `notified`.
 *
 * The API and all steps run in one process, the simulator in its own; the servers share the machine. Each run
 * has orders of its own, and fails unless each was notified, and delivered by the simulator exactly once.
 * `bare`: the bare process does the same in turn, and `timesBare` is the median of how much longer Chodang took.
 */
export async function burst(options: {
  orders: number;
  runs: number;
  bare?: boolean | undefined;
  say: (line: string) => void;
}) {
  const { orders, runs, bare, say } = options;
  const bench = await openBench(say, { bare });
  try {
    const apiKey = await addApiKey(bench.store, seller);
    const measure = async (name: string, subject: Subject, run: number) => {
      const orderIds = Array.from({ length: orders }, (_, at) => `burst-${Date.now()}-${run}-${at}`);
      await load(bench, orderIds);
      const result = await once(bench, subject, apiKey, orderIds);
      say(
        `${name}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${result.seconds.toFixed(3)} s, ` +
          `accepted in ${result.acceptMs.toFixed(0)} ms, ${result.rssMb.toFixed(0)} MB`,
      );
      return result;
    };
    const measured: Measured[] = [];
    const measuredBare: Measured[] = [];
    for (let run = 0; run <= runs; run += 1) {
      const ofChodang = await measure('chodang', bench.chodang, run);
      if (run > 0) measured.push(ofChodang);
      const ofBare = bench.bare && (await measure('bare', bench.bare, run));
      if (run > 0 && ofBare) measuredBare.push(ofBare);
    }
    const ratios = measuredBare.map(({ seconds }, at) => (measured[at] as Measured).seconds / seconds);
    return {
      scenario: 'burst',
      runs,
      ...figures(orders, measured),
      ...(bare && { bare: figures(orders, measuredBare), timesBare: round(median(ratios), 2) }),
    };
  } finally {
    await bench.close();
  }
}

function figures(orders: number, measured: readonly Measured[]) {
  const { seconds, acceptMs, rssMb, ...cpu } = medians(measured);
  return {
    orders,
    seconds: round(seconds, 3),
    ordersPerSecond: Math.round(orders / seconds),
    acceptMs: round(acceptMs, 0),
    rssMb: round(rssMb, 0),
    ...Object.fromEntries(Object.entries(cpu).map(([name, value]) => [name, round(value, 2)])),
  };
}

type Bench = Awaited<ReturnType<typeof openBench>>;
type Measured = Awaited<ReturnType<typeof once>>;
const seller = 'bench-seller';
const zone = 'Asia/Seoul';
/** How often it looks whether all is done: the figures are too long by half of it, at the most, and asking costs time too. */
const pollMs = 20;
/** Never one that ends in 0000: to the simulator those are wrong numbers. */
const phoneOf = (at: number) =>
  `+8210${1_000 + Math.floor(at / 9_999)}${String((at % 9_999) + 1).padStart(4, '0')}`;
const round = (value: number, digits: number) => Number(value.toFixed(digits));

async function load({ store }: Bench, orderIds: readonly string[]): Promise<void> {
  const promisedShipDate = today(() => new Date(), zone);
  for (let at = 0; at < orderIds.length; at += 10_000)
    await upsertOrders(
      store,
      orderIds.slice(at, at + 10_000).map((orderId, i) => ({
        sellerId: seller,
        orderId,
        status: 'open',
        promisedShipDate,
        phone: phoneOf(at + i),
        customerName: '김하늘',
        product: '초당옥수수 10개',
      })),
    );
  await store.query('vacuum analyze orders');
  await store.query('vacuum analyze ledger');
  await store.query('checkpoint');
}

async function once(
  { store, cpuSeconds, delivered }: Bench,
  { address, ...subject }: Subject,
  apiKey: string,
  orderIds: readonly string[],
) {
  const before = await delivered();
  const body = JSON.stringify({
    reason: 'WEATHER',
    detail: '장마로 수확이 늦어지고 있습니다.',
    newShipDate: addDays(
      today(() => new Date(), zone),
      7,
    ),
    orderIds,
  });
  const cpuBefore = { processCpuSeconds: subject.cpuSeconds(), ...cpuSeconds() };
  const started = performance.now();
  const response = await fetch(`${address}/v1/delay-notices`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}`, 'x-seller': seller },
    body,
  });
  const acceptMs = performance.now() - started;
  if (response.status !== 202)
    throw new Error(`expected 202, got ${response.status}: ${await response.text()}`);
  const { noticeId } = (await response.json()) as { noticeId: string };
  // Counting rows costs Postgres time, so it is asked only once the simulator has everything.
  const sent = async () => (await delivered()).delivered - before.delivered === orderIds.length;
  const notified = async () => {
    const [row] = await store.query<{ n: number }>(
      `select count(*)::int as n from ledger where notice_id = $1 and state = 'notified'`,
      [noticeId],
    );
    return row?.n === orderIds.length;
  };
  for (const done of [sent, notified])
    while (!(await done())) {
      if (performance.now() - started > 120_000) throw new Error('after 120 s not all orders are notified');
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  const seconds = (performance.now() - started) / 1_000;
  const cpuAfter = { processCpuSeconds: subject.cpuSeconds(), ...cpuSeconds() };
  const after = await delivered();
  if (after.delivered - before.delivered !== orderIds.length || after.maxPerKey > 1)
    throw new Error(
      `expected ${orderIds.length} deliveries, each once; the simulator says ${JSON.stringify(after)}`,
    );
  return {
    seconds,
    acceptMs,
    rssMb: subject.rssMb(),
    processCpuSeconds: cpuAfter.processCpuSeconds - cpuBefore.processCpuSeconds,
    postgresCpuSeconds: cpuAfter.postgresCpuSeconds - cpuBefore.postgresCpuSeconds,
    rabbitmqCpuSeconds: cpuAfter.rabbitmqCpuSeconds - cpuBefore.rabbitmqCpuSeconds,
    simulatorCpuSeconds: cpuAfter.simulatorCpuSeconds - cpuBefore.simulatorCpuSeconds,
  };
}
