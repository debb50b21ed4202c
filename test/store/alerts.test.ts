import assert from 'node:assert/strict';
import {
  countUndelivered,
  giveUpOthers,
  markDelivered,
  markFailed,
  takeDueDelivery,
} from '../../src/store/alertDeliveries.ts';
import { raiseAlerts, raiseOnce, removeOldAlerts, takeBundle } from '../../src/store/alerts.ts';
import { type Store, transaction } from '../../src/store/store.ts';
import { anAlert, newGroups } from '../alerts/receiver.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';

describe('Alerts in the store', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => {
    ({ store, drop } = await migratedDatabase());
  });
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const day = 86_400_000;
  const atOnce = { collectMs: 0, everyMs: 0 };
  const bodiesOf = () => ({ slack: '{"text":"…"}', log: '{}' });
  const bundle = (options: object = {}) => takeBundle(store, { ...atOnce, bodiesOf, ...options });
  const untold = async () => (await store.query('select from alerts where bundle_id is null')).length;
  const deliveries = () =>
    store.query<{ channel: string; attempts: number; waitMs: number; gaveUp: boolean; error: string | null }>(
      `select channel, attempts, extract(epoch from next_at - now())::float8 * 1000 as "waitMs",
              gave_up_at is not null as "gaveUp", error from alert_deliveries order by channel`,
    );
  const makeOlder = (ms: number) =>
    store.query(
      `with a as (update alerts set at = at - $1::float8 * interval '1 millisecond')
       update alert_deliveries set created_at = created_at - $1::float8 * interval '1 millisecond'`,
      [ms],
    );

  describe('takeBundle', () => {
    it('takes all that nobody was told of, oldest first, and writes a delivery for each channel', async () => {
      await raiseAlerts(store, newGroups(3));
      const taken = await bundle({
        bodiesOf: ({ alerts }: { alerts: { subject: string }[] }) => ({
          slack: alerts.map(({ subject }) => subject).join(),
        }),
      });
      assert.deepEqual(
        taken?.alerts.map(({ subject }) => subject),
        ['group 1', 'group 2', 'group 3'],
      );
      const delivery = await takeDueDelivery(store, 'slack', 1_000);
      assert.deepEqual(delivery, {
        bundleId: taken?.bundleId,
        channel: 'slack',
        body: 'group 1,group 2,group 3',
        attempt: 1,
      });
      assert.equal(await untold(), 0);
      assert.equal(await bundle(), undefined);
    });

    it('takes nothing that is not committed', async () => {
      await transaction(store, async (tx) => {
        await raiseAlerts(tx, [anAlert()]);
        assert.equal(await bundle(), undefined);
      });
      assert.equal((await bundle())?.alerts.length, 1);
    });

    it('waits for the neighbours of the first', async () => {
      await raiseAlerts(store, [anAlert()]);
      assert.equal(await bundle({ collectMs: 5_000 }), undefined);
      await makeOlder(5_001);
      await raiseAlerts(store, [anAlert({ subject: 'group 13' })]);
      assert.equal((await bundle({ collectMs: 5_000 }))?.alerts.length, 2);
    });

    it('makes no second one before it is time', async () => {
      await raiseAlerts(store, [anAlert()]);
      assert.ok(await bundle({ everyMs: 60_000 }));
      await raiseAlerts(store, [anAlert()]);
      assert.equal(await bundle({ everyMs: 60_000 }), undefined);
      await makeOlder(60_001);
      assert.ok(await bundle({ everyMs: 60_000 }));
    });

    it('leaves what is too much for one to the next', async () => {
      await raiseAlerts(store, newGroups(5));
      assert.equal((await bundle({ limit: 3 }))?.alerts.length, 3);
      assert.deepEqual(
        (await bundle({ limit: 3 }))?.alerts.map(({ subject }) => subject),
        ['group 4', 'group 5'],
      );
    });

    it('is made by one of many that ask at once', async () => {
      await raiseAlerts(store, newGroups(100));
      const taken = await Promise.all(
        Array.from({ length: 6 }, () => bundle({ everyMs: 60_000, limit: 10 })),
      );
      assert.deepEqual(
        taken.flatMap((each) => each?.alerts.length ?? []),
        [10],
      );
    });

    it('leaves everything as it was if its bodies cannot be written', async () => {
      await raiseAlerts(store, [anAlert()]);
      const broken = () => {
        throw new Error('broken');
      };
      await assert.rejects(bundle({ bodiesOf: broken }), /broken/);
      assert.deepEqual([await untold(), await deliveries()], [1, []]);
    });
  });

  describe('deliveries', () => {
    beforeEach(async () => {
      await raiseAlerts(store, [anAlert()]);
      await bundle();
    });

    it('are taken by one, and are due again when its time is up', async () => {
      const taken = await Promise.all(
        Array.from({ length: 4 }, () => takeDueDelivery(store, 'slack', 60_000)),
      );
      assert.equal(taken.filter(Boolean).length, 1);
      await store.query(`update alert_deliveries set next_at = next_at - interval '1 minute'`);
      assert.equal((await takeDueDelivery(store, 'slack', 60_000))?.attempt, 2);
    });

    it('are not taken again once they have arrived', async () => {
      const delivery = await takeDueDelivery(store, 'slack', 0);
      assert.ok(delivery);
      await markDelivered(store, delivery);
      assert.equal(await takeDueDelivery(store, 'slack', 0), undefined);
      assert.deepEqual(await countUndelivered(store), [{ channel: 'log', waiting: 1, gaveUp: 0 }]);
    });

    it('that failed are due again, but not after their time is up, and then given up', async () => {
      const delivery = await takeDueDelivery(store, 'slack', 0);
      assert.ok(delivery);
      const fail = (againMs: number) =>
        markFailed(store, delivery, { error: 'answered 503', againMs, giveUpMs: 3 * day });
      assert.equal(await fail(2_000), false);
      const slack = async () => (await deliveries())[1]!;
      assert.ok(Math.abs((await slack()).waitMs - 2_000) < 1_000);
      assert.equal((await slack()).error, 'answered 503');
      await fail(9 * day);
      assert.ok((await slack()).waitMs < 3 * day);
      await makeOlder(3 * day);
      assert.equal(await fail(2_000), true);
      assert.equal((await slack()).gaveUp, true);
      assert.equal(await takeDueDelivery(store, 'slack', 0), undefined);
      assert.deepEqual(await countUndelivered(store), [
        { channel: 'log', waiting: 1, gaveUp: 0 },
        { channel: 'slack', waiting: 0, gaveUp: 1 },
      ]);
    });

    it('to a channel that nobody knows any more are given up in the end', async () => {
      assert.deepEqual(await giveUpOthers(store, ['log'], day), []);
      await makeOlder(day + 1);
      const given = await giveUpOthers(store, ['log'], day);
      assert.deepEqual(
        given.map(({ channel }) => channel),
        ['slack'],
      );
      assert.equal((await deliveries())[1]?.error, 'this channel is no longer configured');
    });
  });

  describe('raiseOnce', () => {
    const storm = anAlert({ kind: 'retriable storm', subject: 'step tms' });

    it('raises an alert once in its time, by kind and subject', async () => {
      assert.equal(await raiseOnce(store, storm, 60_000), true);
      assert.equal(await raiseOnce(store, storm, 60_000), false);
      assert.equal(await raiseOnce(store, { ...storm, subject: 'step delay' }, 60_000), true);
      await makeOlder(60_001);
      assert.equal(await raiseOnce(store, storm, 60_000), true);
    });

    it('raises it once, however many see it at the same moment', async () => {
      const raised = await Promise.all(Array.from({ length: 8 }, () => raiseOnce(store, storm, 60_000)));
      assert.equal(raised.filter(Boolean).length, 1);
      assert.equal(await untold(), 1);
    });

    it('counts one that developers were told of already', async () => {
      await raiseOnce(store, storm, 60_000);
      await bundle();
      assert.equal(await raiseOnce(store, storm, 60_000), false);
    });
  });

  describe('removeOldAlerts', () => {
    const rows = async () =>
      (
        await store.rows<[alerts: number, deliveries: number]>(
          'select (select count(*)::int from alerts), (select count(*)::int from alert_deliveries)',
        )
      )[0];
    const deliver = async (channel: string) => {
      const delivery = await takeDueDelivery(store, channel, 0);
      if (delivery) await markDelivered(store, delivery);
    };

    it('removes what was delivered or given up long ago, in batches, and tells how much', async () => {
      await raiseAlerts(store, newGroups(5));
      await bundle();
      await deliver('log');
      const slack = await takeDueDelivery(store, 'slack', 0);
      await markFailed(store, slack!, { error: 'down', againMs: 0, giveUpMs: 0 });
      await raiseAlerts(store, [anAlert()]);
      await makeOlder(31 * day);
      await bundle({ bodiesOf: () => ({ slack: 'newer' }) });
      assert.equal(await removeOldAlerts(store, { olderThanDays: 32, limit: 3 }), 0);
      assert.equal(await removeOldAlerts(store, { olderThanDays: 30, limit: 3 }), 3);
      assert.equal(await removeOldAlerts(store, { olderThanDays: 30, limit: 3 }), 4);
      assert.equal(await removeOldAlerts(store, { olderThanDays: 30, limit: 3 }), 0);
      assert.deepEqual(await rows(), [1, 1], 'the newer bundle stays');
    });

    it('keeps what nobody was told of, and what is still on its way, however old', async () => {
      await raiseAlerts(store, [anAlert()]);
      await bundle();
      await deliver('log');
      await raiseAlerts(store, [anAlert()]);
      await makeOlder(365 * day);
      assert.equal(await removeOldAlerts(store, { olderThanDays: 30 }), 0);
      assert.deepEqual(await rows(), [2, 2]);
    });
  });
});
