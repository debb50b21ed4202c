import { loadConfig } from '../../src/config/load.ts';
import { postNotice } from '../../src/http/client.ts';
import { writeSwitch } from '../../src/switches/write.ts';
import { once } from '../burst.ts';
import { load } from '../load.ts';
import { orderIdsOf } from '../orders.ts';
import { beginRun, dayIn, type Servers, secondsToLastCommit, untilNotified } from '../run.ts';
import { type Contestant, noticeOf, sellersOf } from './contestant.ts';

/** How many notices of one order each are posted a second: more than are settled. */
const offeredPerSecond = 15_000;

/**
 * Chodang as `chodang start` runs it, all parts in one process: over HTTP, so that its intake is measured too, and the
 * process that posts takes its share of the machine.
 *
 * Chunked it is what the scenario `burst` measures: one notice of one seller for all orders. Per order a
 * notice for each order, from many sellers, posted by the process that does so for `singles`.
 */
export const chodang: Contestant = async (servers, apiKeys, mode) => {
  const subject = await servers.startChodang();
  return {
    async settle(prefix, count) {
      if (mode === 'chunked')
        return (await once(servers, subject, apiKeys[0] ?? '', { prefix, count })).seconds;
      const sellers = sellersOf(mode);
      await beginRun(servers, { prefix, count, sellers });
      const { firstDueAt } = await load({
        address: subject.address,
        apiKeys: apiKeys.slice(0, sellers),
        prefix,
        count,
        newShipDate: dayIn(7),
        perSecond: offeredPerSecond,
      });
      await untilNotified(servers, count);
      return secondsToLastCommit(servers, firstDueAt);
    },
    stop: () => subject.stop(),
  };
};

/**
 * Chodang's own path `legacy`: the switch says so, and a run settles one order after the other, whatever the mode.
 *
 * Measured from its first transaction to its last, by Postgres's clock: what waits for the next run isn't counted.
 */
export const legacy: Contestant = async (servers, apiKeys) => {
  await setPath(servers, 'legacy');
  const subject = await servers.startChodang({ env: { CHODANG_LEGACY_INTERVAL_MS: '100' } });
  return {
    async settle(prefix, count) {
      await beginRun(servers, { prefix, count, sellers: 1 });
      const { path } = await postNotice(
        { url: subject.address, apiKey: apiKeys[0] ?? '' },
        { ...noticeOf('chunked'), orderIds: orderIdsOf({ prefix, count }) },
      );
      if (path !== 'legacy') throw new Error(`expected a notice on path legacy, got one on ${path}`);
      await untilNotified(servers, count);
      const [row] = await servers.store.rows<[string]>(
        'select extract(epoch from max(settled_at) - min(created_at)) from ledger',
      );
      return Number(row?.[0]);
    },
    async stop() {
      await subject.stop();
      await setPath(servers, 'actors');
    },
  };
};

async function setPath({ env }: Servers, value: string): Promise<void> {
  const { zookeeper, switches } = loadConfig({ env });
  const { connect, root } = zookeeper;
  await writeSwitch({ connect, root, registry: switches }, 'delay-notice-path', value);
}
