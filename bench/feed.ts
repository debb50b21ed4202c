import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfirmChannel, connect } from 'amqplib';
import { feedExchange, feedLane, feedStep } from '../src/config/topology.ts';
import type { OrderEvent } from '../src/rules/orderEvent.ts';
import { median } from './median.ts';
import { openServers, type Subject } from './open.ts';
import { emptyTables, sellerIds, takeStock } from './orders.ts';
import { type Cpu, cpuText, dayIn, round, type Servers, withCpu } from './run.ts';

/** How many events there are in a message, by turns, where nothing else is asked for. */
const usualLengths = [1, 10, 100, 1_000];
/** What the scenario's own figure is of. */
const usualLength = 100;
const sellers = 100;
const giveUpMs = 300_000;

/**
 * `events` events of the shop's orders, from the first published until Postgres has what the last one says: three of
 * five are new orders, each third of which then ships, and then gets another product.
 *
 * They are published as lists of 1, 10, 100 and 1,000 in turn, or of `length`, each message confirmed, by the process that measures;
 * what that costs the machine is in the figures. Fails unless each order is what its newest events say.
 */
export async function feed(options: {
  events: number;
  length?: number;
  runs: number;
  say: (line: string) => void;
}) {
  const { events, runs, say } = options;
  const listLengths = options.length === undefined ? usualLengths : [options.length];
  const servers = await openServers(say);
  const connection = await connect(servers.urls.rabbitmq);
  try {
    const channel = await connection.createConfirmChannel();
    const chodang = await servers.startChodang({ parts: ['orders'] });
    const measured = new Map(listLengths.map((length) => [length, [] as Measured[]]));
    for (let run = 0; run <= runs; run += 1)
      for (const length of listLengths) {
        const result = await once(servers, chodang, channel, { events, length });
        say(
          `lists of ${length}, ${run === 0 ? 'warm-up' : `run ${run}`}: ${result.seconds.toFixed(2)} s, ` +
            `${Math.round(events / result.seconds)} events a second, ${result.rssMb.toFixed(0)} MB; ${cpuText(result)}`,
        );
        if (run > 0) measured.get(length)?.push(result);
      }
    const perSecond = (length: number) =>
      Math.round(events / median((measured.get(length) ?? []).map(({ seconds }) => seconds)));
    return {
      scenario: 'feed',
      runs,
      events,
      eventsPerSecond: perSecond(options.length ?? usualLength),
      byLengthOfList: Object.fromEntries(listLengths.map((length) => [length, perSecond(length)])),
      rssMb: round(Math.max(...[...measured.values()].flat().map(({ rssMb }) => rssMb))),
    };
  } finally {
    await connection.close();
    await servers.close();
  }
}

interface Measured extends Cpu {
  seconds: number;
  rssMb: number;
}

async function once(
  servers: Servers,
  chodang: Subject,
  channel: ConfirmChannel,
  { events, length }: { events: number; length: number },
): Promise<Measured> {
  const { store } = servers;
  await emptyTables(store);
  await takeStock(store);
  const all = eventsOf(events);
  const messages: Buffer[] = [];
  for (let at = 0; at < all.length; at += length)
    messages.push(Buffer.from(JSON.stringify(length === 1 ? all[at] : all.slice(at, at + length))));
  const { result, cpu } = await withCpu(servers, chodang, async () => {
    const startedAt = performance.now();
    for (let at = 0; at < messages.length; at += 1_000) {
      for (const content of messages.slice(at, at + 1_000))
        channel.publish(feedExchange, 'order.several', content, { persistent: true, mandatory: true });
      await channel.waitForConfirms();
    }
    for (;;) {
      // What is being worked on shows in no depth, and asking Postgres costs time, so it is asked last.
      if (
        (await channel.checkQueue(`${feedStep}.${feedLane}`)).messageCount === 0 &&
        (await wrong(store, all)) === undefined
      )
        break;
      if (performance.now() - startedAt > giveUpMs) throw new Error(await wrong(store, all));
      await sleep(20);
    }
    return { seconds: (performance.now() - startedAt) / 1_000 };
  });
  return { ...result, ...cpu, rssMb: chodang.rssMb() };
}

/** The events, those of one order in its order. */
function eventsOf(events: number): OrderEvent[] {
  const orders = Math.floor((events * 3) / 5);
  const ids = sellerIds(sellers);
  const promisedShipDate = dayIn(0);
  const of = (at: number) => ({
    specversion: '1.0' as const,
    source: '/bench',
    data: { sellerId: ids[at % sellers] ?? '', orderId: `fed-${at}` },
  });
  const upserted = (at: number, version: number, product: string): OrderEvent => {
    const { data, ...envelope } = of(at);
    return {
      ...envelope,
      id: `${at}-${version}`,
      type: 'order.upserted',
      data: {
        ...data,
        version,
        status: version === 1 ? 'open' : 'shipped',
        promisedShipDate,
        phone: '+821012345678',
        customerName: '김하늘',
        product,
      },
    };
  };
  const shipped = (at: number): OrderEvent => {
    const { data, ...envelope } = of(at);
    return {
      ...envelope,
      id: `${at}-2`,
      type: 'order.status-changed',
      data: { ...data, version: 2, status: 'shipped' },
    };
  };
  const places = Array.from({ length: orders }, (_, at) => at);
  const thirds = places.filter((at) => at % 3 === 0);
  return [
    ...places.map((at) => upserted(at, 1, '초당옥수수 10개')),
    ...thirds.map(shipped),
    ...thirds.map((at) => upserted(at, 3, '초당옥수수 20개')),
  ];
}

const countOf = (events: readonly OrderEvent[], version: number) =>
  events.filter(({ data }) => data.version === version).length;

/** Says in what the orders are not what their newest events say; undefined if they are. */
async function wrong(db: Servers['store'], events: readonly OrderEvent[]): Promise<string | undefined> {
  const [row] = await db.rows<[number, number, number]>(
    `select count(*)::int,
            count(*) filter (where status = 'shipped' and status_version = 3 and upsert_version = 3
                             and product = '초당옥수수 20개')::int,
            count(*) filter (where status = 'open' and status_version = 1 and product = '초당옥수수 10개')::int
     from orders`,
  );
  const orders = countOf(events, 1);
  const changed = countOf(events, 3);
  const expected = [orders, changed, orders - changed];
  return expected.every((each, at) => each === row?.[at])
    ? undefined
    : `expected ${expected.join(', ')} orders, changed and as they were; got ${row?.join(', ')}`;
}
