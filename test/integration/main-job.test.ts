import assert from 'node:assert/strict';
import { uuidv7 } from 'uuidv7';
import { type RejectReason, rejectReasons } from '../../src/rules/notice.ts';
import { type OrderRow, upsertOrders } from '../../src/store/orders.ts';
import { addSellers } from '../../src/store/sellers.ts';
import { writeShipDate } from '../../src/tms/shipDates.ts';
import { anOrderRow, statesOf } from '../support/database.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

/** What becomes of an order of each kind that a notice for a week from today names. */
const outcomes = {
  'is open': 'notified',
  'is open, of an English customer': 'notified',
  'was delayed before': 'notified',
  'left a wrong number': 'undeliverable',
  'left no number': 'undeliverable',
  'is unknown': 'rejected ORDER_NOT_FOUND',
  'is of another seller': 'rejected ORDER_NOT_FOUND',
  'was canceled': 'rejected ORDER_CANCELED',
  'has shipped': 'rejected ORDER_SHIPPED',
  'was delivered': 'rejected ORDER_DELIVERED',
  'is complained about': 'rejected CLAIM_IN_PROGRESS',
  'has a newer notice': 'rejected OVERTAKEN',
  'has that date already': 'rejected ALREADY_NOTIFIED',
  'has a later date': 'rejected DATE_NOT_LATER',
  'was promised long ago': 'rejected DATE_TOO_FAR',
  'was delayed too often': 'rejected TOO_MANY_DELAYS',
} as const;
type Kind = keyof typeof outcomes;
const kinds = Object.keys(outcomes) as Kind[];
const newDate = inDays(7);

const rowsOf: Record<Kind, Partial<OrderRow> | undefined> = {
  'is open': {},
  'is open, of an English customer': { locale: 'en' },
  'was delayed before': { expectedShipDate: inDays(2) },
  'left a wrong number': { phone: '+821000000000' },
  'left no number': { phone: '' },
  'is unknown': undefined,
  'is of another seller': { sellerId: 's-2' },
  'was canceled': { status: 'canceled' },
  'has shipped': { status: 'shipped' },
  'was delivered': { status: 'delivered' },
  'is complained about': { status: 'claim' },
  'has a newer notice': {},
  'has that date already': { expectedShipDate: newDate },
  'has a later date': { expectedShipDate: inDays(8) },
  'was promised long ago': { promisedShipDate: inDays(7 - 31) },
  'was delayed too often': {},
};

/** Changes of orders that only earlier notices could have made. */
const pasts: Partial<Record<Kind, string>> = {
  'was delayed before': `delay_count = 2, last_notice_id = '00000000-0000-7000-8000-000000000000'`,
  'has a newer notice': `delay_count = 1, last_notice_id = 'ffffffff-ffff-7fff-bfff-ffffffffffff'`,
  'was delayed too often': `delay_count = 3, last_notice_id = '00000000-0000-7000-8000-000000000000'`,
};

interface Mixed {
  orderId: string;
  kind: Kind;
  phone: string;
}

describe('the main job', function () {
  this.timeout(120_000);
  let world: World;
  before(async () => {
    world = await aWorld();
    await addSellers(world.store, ['s-2']);
    await flip(world.zookeeper, 'on');
    await world.start();
  });
  after(() => world.close());

  /** Stores so many orders of each kind, well shuffled. */
  async function aMix(perKind: number, more: Partial<Record<Kind, number>> = {}): Promise<Mixed[]> {
    let number = 0;
    const mix = kinds
      .flatMap((kind) => Array.from({ length: more[kind] ?? perKind }, () => kind))
      .map((kind) => {
        const phone = rowsOf[kind]?.phone ?? `+82103${String(number++).padStart(4, '0')}111`;
        return { orderId: `${uuidv7()} ${kind}`, kind, phone, place: (number * 7_919) % 104_729 };
      })
      .toSorted((a, b) => a.place - b.place);
    await upsertOrders(
      world.store,
      mix.flatMap(({ orderId, kind, phone }) => {
        const row = rowsOf[kind];
        return row ? [anOrderRow({ promisedShipDate: inDays(0), ...row, phone, orderId })] : [];
      }),
    );
    for (const [kind, change] of Object.entries(pasts))
      await world.store.query(
        `update orders set ${change} where order_id like $1 and last_notice_id is null`,
        [`% ${kind}`],
      );
    return mix;
  }

  /** Checks that each order of the mix has become what it should, and each customer knows what he should. */
  async function checkOutcomes(noticeId: string, mix: Mixed[]): Promise<void> {
    const states = await statesOf(world.store, { noticeId });
    const wrong = mix.filter(({ orderId, kind }) => states[orderId] !== outcomes[kind]);
    assert.deepEqual(
      wrong.map(({ orderId }) => `${orderId}: ${states[orderId]}`),
      [],
    );
    assert.equal(Object.keys(states).length, mix.length);

    const { counts, rejectReasons: reasons } = await world.progress(noticeId);
    const howMany = (outcome: string) =>
      mix.filter(({ kind }) => outcomes[kind] === outcome || outcomes[kind].startsWith(`${outcome} `)).length;
    assert.deepEqual(counts, {
      rejected: howMany('rejected'),
      delayed: 0,
      notified: howMany('notified'),
      undeliverable: howMany('undeliverable'),
      unconfirmed: 0,
      failed: 0,
    });
    const expected = rejectReasons.map((reason): [RejectReason, number] => [
      reason,
      howMany(`rejected ${reason}`),
    ]);
    assert.deepEqual(reasons, Object.fromEntries(expected.filter(([, count]) => count > 0)));

    const notified = mix.filter(({ kind }) => outcomes[kind] === 'notified');
    await world.toldOnce(
      noticeId,
      notified.map(({ orderId }) => orderId),
    );
    const told = new Map((await world.simulator.deliveries()).map((delivery) => [delivery.key, delivery]));
    for (const { orderId, kind, phone } of notified) {
      const locale = kind === 'is open, of an English customer' ? 'en' : 'ko';
      const delivery = told.get(`${noticeId}:${orderId}`);
      assert.equal(delivery?.to, phone);
      assert.equal(delivery?.template, `WEATHER.${locale}`);
      const oldDate = kind === 'was delayed before' ? inDays(2) : inDays(0);
      for (const words of [
        orderId,
        writeShipDate(oldDate, locale),
        writeShipDate(newDate, locale),
        'Hail, alas',
      ])
        assert(delivery?.text.includes(words), `expected ${words} in ${delivery?.text}`);
    }
    const [moved] = await world.store.query<{ count: number }>(
      'select count(*)::int as count from orders where last_notice_id = $1 and expected_ship_date = $2',
      [noticeId, newDate],
    );
    assert.equal(moved?.count, howMany('notified') + howMany('undeliverable'));
  }

  it('takes 5,000 mixed orders down the new path: each has its outcome, each customer one message', async () => {
    const mix = await aMix(200, { 'is open': 2_000 });
    const answer = await world.post([...mix.map(({ orderId }) => orderId), mix[0]?.orderId ?? ''], {
      detail: 'Hail, alas',
    });
    assert.equal(answer.path, 'actors');
    await world.settled(answer.noticeId);
    assert.equal(mix.length, 5_000);
    const { orders, duplicates } = await world.progress(answer.noticeId);
    assert.deepEqual({ orders, duplicates }, { orders: 5_000, duplicates: 1 });
    await checkOutcomes(answer.noticeId, mix);
  });

  it('takes many small notices at once, which share batches and messages, and mixes none of them up', async () => {
    const notices = await Promise.all(
      Array.from({ length: 40 }, async (_, at) => {
        const orderIds = await world.orders(1 + (at % 5));
        const days = 3 + (at % 9);
        return { orderIds, days, ...(await world.post(orderIds, { days, detail: `Reason ${at}.` })) };
      }),
    );
    for (const { noticeId, orderIds } of notices) {
      assert.deepEqual(await world.settled(noticeId), { notified: orderIds.length });
      await world.toldOnce(noticeId, orderIds);
    }
    const told = await world.simulator.deliveries();
    for (const [at, { noticeId, days }] of notices.entries())
      for (const { text } of told.filter(({ key }) => key.startsWith(noticeId))) {
        assert(text.includes(`Reason ${at}.`), `expected the reason of notice ${at} in ${text}`);
        assert(
          text.includes(writeShipDate(inDays(days), 'ko')),
          `expected the date of notice ${at} in ${text}`,
        );
      }
  });

  it('takes the same mix down the old path, to the same outcome', async () => {
    await flip(world.zookeeper, 'off');
    await until(async () => (await world.post(await world.orders(1))).path === 'legacy', {
      what: 'the switch is off',
    });
    const mix = await aMix(5);
    const { noticeId, path } = await world.post(
      mix.map(({ orderId }) => orderId),
      { detail: 'Hail, alas' },
    );
    assert.equal(path, 'legacy');
    await world.settled(noticeId);
    await checkOutcomes(noticeId, mix);
  });

  for (const path of ['actors', 'legacy'] as const)
    it(`tells nobody of a date in the past, on path ${path}`, async () => {
      await flip(world.zookeeper, path);
      const posted = await until(
        async () => {
          const orderIds = await world.orders(3);
          const notice = await world.post(orderIds, { days: -1 });
          return notice.path === path && { ...notice, orderIds };
        },
        { what: `notices take path ${path}` },
      );
      assert.deepEqual(await world.settled(posted.noticeId), { rejected: 3 });
      const states = await statesOf(world.store, posted);
      assert.deepEqual([...new Set(Object.values(states))], ['rejected DATE_IN_PAST']);
      await world.toldOnce(posted.noticeId, []);
    });
});
