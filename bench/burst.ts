import { postNotice } from '../src/http/client.ts';
import { addApiKey } from '../src/store/sellers.ts';
import { floorOnce, openFloor } from './floor.ts';
import { median, medians } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { orderIdsOf, sellerIds } from './orders.ts';
import {
  beginRun,
  type Cpu,
  cpuText,
  dayIn,
  expectOnce,
  round,
  type Servers,
  secondsToLastCommit,
  untilNotified,
  withCpu,
} from './run.ts';

const [seller = ''] = sellerIds(1);

/**
 * One POST of `orders` orders of one seller, from the request sent until every order is seen `notified`; in turn
 * with the floor (floor.ts), and if asked to with the bare process (bare.ts), on the same servers.
 *
 * The API and all steps run in one process, the simulator in its own; the servers share the machine.
 * `ratioToFloor` is the median of how many orders a second Chodang settles for each that the floor does in the same
 * round, `timesBare` of how much longer Chodang takes than the bare process.
 */
export async function burst(options: {
  orders: number;
  runs: number;
  parallel: number;
  bare?: boolean | undefined;
  say: (line: string) => void;
}) {
  const { orders, runs, parallel, bare, say } = options;
  const servers = await openServers(say);
  const floor = openFloor(servers, parallel);
  try {
    const { postgres, rabbitmq, tms } = servers.urls;
    const apiKey = await addApiKey(servers.store, seller);
    const chodang = await servers.startChodang();
    const bareProcess = bare
      ? await servers.start(process.execPath, ['--import', 'tsx', 'bench/bare.ts', postgres, rabbitmq, tms])
      : undefined;
    const rounds: { chodang: Measured; floorSeconds: number; bare: Measured | undefined }[] = [];
    for (let run = 0; run <= runs; run += 1) {
      const title = run === 0 ? 'warm-up' : `run ${run}`;
      const measure = async (name: string, subject: Subject) => {
        const result = await once(servers, subject, apiKey, { prefix: `${name}-${run}`, count: orders });
        say(
          `${name}, ${title}: ${result.seconds.toFixed(3)} s, ${Math.round(orders / result.seconds)} a second, ` +
            `accepted in ${result.acceptMs.toFixed(0)} ms, ${result.rssMb.toFixed(0)} MB; ${cpuText(result)}`,
        );
        return result;
      };
      const ofChodang = await measure('chodang', chodang);
      const floorSeconds = await floorOnce(servers, floor, { prefix: `floor-${run}`, count: orders });
      say(`floor, ${title}: ${floorSeconds.toFixed(3)} s, ${Math.round(orders / floorSeconds)} a second`);
      const ofBare = bareProcess && (await measure('bare', bareProcess));
      if (run > 0) rounds.push({ chodang: ofChodang, floorSeconds, bare: ofBare });
    }
    const ofBare = rounds.flatMap(({ bare: each }) => each ?? []);
    const floorSeconds = median(rounds.map((each) => each.floorSeconds));
    return {
      scenario: 'burst',
      runs,
      ...figures(
        orders,
        rounds.map((each) => each.chodang),
      ),
      floorPerSecond: Math.round(orders / floorSeconds),
      ratioToFloor: round(median(rounds.map((each) => each.floorSeconds / each.chodang.seconds)), 2),
      ...(bare && {
        bare: figures(orders, ofBare),
        timesBare: round(
          median(ofBare.map(({ seconds }, at) => (rounds[at]?.chodang.seconds ?? Number.NaN) / seconds)),
          2,
        ),
      }),
    };
  } finally {
    await floor.close();
    await servers.close();
  }
}

interface Measured extends Cpu {
  seconds: number;
  acceptMs: number;
  rssMb: number;
}

function figures(orders: number, measured: readonly Measured[]) {
  const { seconds, acceptMs, rssMb, ...cpu } = medians<keyof Measured>(measured);
  return {
    orders,
    seconds: round(seconds, 3),
    ordersPerSecond: Math.round(orders / seconds),
    acceptMs: round(acceptMs),
    rssMb: round(rssMb),
    ...Object.fromEntries(Object.entries(cpu).map(([name, value]) => [name, round(value, 2)])),
  };
}

/** One run: from empty tables on, one notice for all orders. */
export async function once(
  servers: Servers,
  subject: Subject,
  apiKey: string,
  orders: { prefix: string; count: number },
): Promise<Measured> {
  await beginRun(servers, { ...orders, sellers: 1 });
  const orderIds = orderIdsOf(orders);
  const notice = {
    reason: 'WEATHER',
    detail: '장마로 수확이 늦어지고 있습니다.',
    newShipDate: dayIn(7),
    orderIds,
  };
  const startedAt = Date.now();
  const { result: acceptMs, cpu } = await withCpu(servers, subject, async () => {
    const postedAt = performance.now();
    await postNotice({ url: subject.address, apiKey }, notice);
    const accepted = performance.now() - postedAt;
    await untilNotified(servers, orders.count);
    return accepted;
  });
  await expectOnce(servers, orders.count);
  const seconds = await secondsToLastCommit(servers, startedAt);
  return { seconds, acceptMs, rssMb: subject.rssMb(), ...cpu };
}
