import assert from 'node:assert/strict';
import type { Publication } from '../../src/pipeline/message.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { bucketOf } from '../../src/switches/bucket.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { flip, opened, zkCli } from '../switches/opened.ts';

describe('flipping delay-notice-path with plain zkCli', function () {
  this.timeout(90_000);
  let world: World;
  /** Where the two processes listen: this one, and one of its own. */
  let addresses: string[];
  let published: Publication[];

  before(async () => {
    world = await aWorld({ legacy: { intervalMs: 100 } });
    published = [];
    // A parent that nobody made yet is made by the processes themselves.
    const [here, there] = await Promise.all([
      world.start({
        wrap: {
          broker: (broker) => ({
            ...broker,
            publish(publication) {
              published.push(publication);
              return broker.publish(publication);
            },
          }),
        },
      }),
      world.spawn(undefined, ['api', 'validation', 'delay', 'tms']),
    ]);
    addresses = [here.address ?? '', there.address ?? ''];
    assert.match(addresses.join(' '), /^http\S+ http\S+$/);
    await zk('create', 'off');
    await until(async () => (await paths()).every((path) => path === 'legacy'), { what: 'both know of it' });
  });
  after(() => world.close());

  const zk = (command: 'create' | 'set', value: string) =>
    zkCli(world.zookeeper, command, `${world.zookeeper.root}/switches/delay-notice-path`, value);
  /** Posts a notice to each process and gives the paths they took. */
  const paths = async (key?: string) =>
    Promise.all(
      addresses.map(async (at) => (await world.post([`nobody's ${Math.random()}`], { at, key })).path),
    );
  const metric = async (at: string, name: string) => {
    const text = await (await world.ask('GET', '/metrics', undefined, { at })).text();
    return text.split('\n').find((line) => line.startsWith(name));
  };

  it('takes effect in every process in well under a second', async () => {
    const follower = await opened(world.zookeeper);
    const [, bothHaveIt] = await Promise.all([
      zk('set', 'on'),
      until(async () => (await paths()).every((path) => path === 'actors') && Date.now(), {
        what: 'both processes have it',
        timeoutMs: 30_000,
      }),
    ]);
    const { changedAt, raw } = follower.status().switches['delay-notice-path'];
    assert.equal(raw, 'on');
    const took = bothHaveIt - (changedAt?.getTime() ?? 0);
    await follower.close();
    assert(took < 1_000, `both processes had it ${took} ms after ZooKeeper had it`);
  });

  it("by percentage keeps each seller's notices on one path, the one his bucket says", async () => {
    await zk('set', '50%');
    const sellers = await Promise.all(
      Array.from({ length: 8 }, async (_, at) => {
        const sellerId = `s-${at + 100}`;
        return { sellerId, key: await addApiKey(world.store, sellerId) };
      }),
    );
    const expected = sellers.map(({ sellerId }) =>
      bucketOf('delay-notice-path', sellerId) < 5_000 ? 'actors' : 'legacy',
    );
    assert.deepEqual([...new Set(expected)].toSorted(), ['actors', 'legacy'], 'sellers of both kinds');
    const taken = () => Promise.all(sellers.map(async ({ key }) => paths(key)));
    const both = expected.map((path) => [path, path]);
    await until(async () => JSON.stringify(await taken()) === JSON.stringify(both), {
      what: 'each seller takes his path in both processes',
    });
    for (let again = 0; again < 2; again += 1) assert.deepEqual(await taken(), both);
  });

  it('leaves what is on its way on its path, in both directions', async () => {
    const post = async (path: string) => {
      const orderIds = await world.orders(60);
      const posted = await until(
        async () => {
          const notice = await world.post(orderIds, { at: addresses[0] });
          return notice.path === path && notice;
        },
        { what: `notices take path ${path}` },
      );
      return { ...posted, orderIds };
    };
    // Customers wait until the switch has been flipped back.
    await world.simulator.faults({ status: 500 });
    await flip(world.zookeeper, 'on');
    const onActors = await post('actors');
    await flip(world.zookeeper, 'off');
    const onLegacy = await post('legacy');
    await flip(world.zookeeper, 'on');
    await until(async () => (await paths()).every((path) => path === 'actors'), { what: 'it is on again' });
    for (const { noticeId } of [onActors, onLegacy])
      assert.notEqual((await world.progress(noticeId)).state, 'settled');
    await world.simulator.faults({});
    for (const { noticeId, path, orderIds } of [onActors, onLegacy]) {
      assert.deepEqual(await world.settled(noticeId), { notified: 60 });
      await world.toldOnce(noticeId, orderIds);
      assert.equal((await world.progress(noticeId)).path, path);
      const chunks = await world.store.query<{ path: string; inside: string; done: boolean }>(
        `select path, chunk::jsonb -> 'header' ->> 'path' as inside, done_at is not null as done
         from intake where notice_id = $1`,
        [noticeId],
      );
      assert.deepEqual(chunks, [{ path, inside: path, done: true }]);
    }
    const travelled = published.map(({ content }) => content.toString());
    const ofActors = travelled.filter((content) => content.includes(onActors.noticeId));
    assert(ofActors.length > 0);
    for (const content of ofActors) assert.match(content, /"path":"actors"/);
    assert(!travelled.some((content) => content.includes(onLegacy.noticeId)), 'legacy stays off RabbitMQ');
  });

  it('to a value that makes no sense keeps the last good one, and counts', async () => {
    await flip(world.zookeeper, 'off');
    await until(async () => (await paths()).every((path) => path === 'legacy'), { what: 'it is off' });
    await zk('set', 'legacy=70 actors=31');
    for (const at of addresses)
      assert.equal(
        await until(() => metric(at, 'chodang_switch_malformed_total'), { what: 'it is counted' }),
        'chodang_switch_malformed_total{name="delay-notice-path"} 1',
      );
    assert.deepEqual(await paths(), ['legacy', 'legacy'], 'the fallback would be actors');
  });
});
