import assert from 'node:assert/strict';
import { exchanges } from '../../src/pipeline/topology.ts';
import { listFailures } from '../../src/store/failures.ts';
import { allFailures } from '../support/database.ts';
import { type KeptLog, keptLog, says } from '../support/log-lines.ts';
import { publishRaw } from '../support/publish.ts';
import { postgres } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('Postgres going away', function () {
  this.timeout(90_000);
  let world: World;
  let log: KeptLog;
  before(async () => {
    world = await aWorld({ tms: { maxRecipients: 100, parallel: 1 } });
    log = keptLog();
    await world.start({ log: log.log });
  });
  after(() => world.close());
  afterEach(() => postgres().start());

  const ways: [string, () => Promise<void>][] = [
    ['stopped', () => postgres().stop()],
    ['killed', () => postgres().kill()],
  ];
  for (const [way, happen] of ways)
    it(`${way} in the middle of a notice: everything settles, nothing fails, nobody is told twice`, async () => {
      log.lines.length = 0;
      // So slow that the notice takes a second or two.
      await world.simulator.faults({ latencyMs: 100 });
      const { delivered } = await world.simulator.stats();
      const orderIds = await world.orders(3_000);
      const { noticeId } = await world.post(orderIds);
      await until(async () => (await world.simulator.stats()).delivered > delivered, {
        what: 'the first customers are told',
      });
      await happen();
      await until(() => log.said(says.waiting).length > 0, { what: 'orders wait for Postgres' });
      await postgres().start();
      assert.deepEqual(await world.settled(noticeId), { notified: 3_000 });
      await world.toldOnce(noticeId, orderIds);
      assert.deepEqual(await listFailures(world.store), []);
      assert.deepEqual([...new Set(log.said(says.waiting).map(({ attempt }) => attempt))], ['unchanged']);
    });

  it('while a message fails: the failed queue keeps it, and it is recorded once', async () => {
    await postgres().stop();
    const content = Buffer.from('no JSON');
    const { url } = world.vhost;
    const message = { exchange: exchanges.steps, routingKey: 'tms.express', type: 'tms.v1', content };
    await publishRaw(url, message);
    await until(() => log.said(says.held, 'tms').length > 1, { what: 'recording is tried again' });
    await postgres().start();
    const failures = await until(
      async () => {
        const all = await allFailures(world.store);
        return all.length > 0 && all;
      },
      { what: 'it is recorded' },
    );
    assert.deepEqual(
      failures.map(({ step, body }) => ({ step, body })),
      [{ step: 'tms', body: content }],
    );
    await until(() => log.said(says.failed).length === 1, { what: 'the log says so' });
  });
});
