import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { listFailures } from '../../src/store/failures.ts';
import { upsertOrders } from '../../src/store/orders.ts';
import { anOrderRow, statesOf } from '../support/database.ts';
import { queuesIn } from '../support/queues.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

const pathOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

describe('a fourth step', function () {
  this.timeout(60_000);
  let folder: string;
  let world: World;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'chodang-step-'));
    // src/actors/ with one file more (links: what the files import is found from where they really are) …
    const actors = join(folder, 'actors/');
    linkAll('../../src/actors/', actors);
    symlinkSync(pathOf('../fixtures/steps/audit-trail.ts'), join(actors, 'audit-trail.ts'));
    // … and config/ with one line more.
    const config = join(folder, 'config/');
    linkAll('../../config/', config);
    const lines = readFileSync(join(config, 'default.yaml'), 'utf8').split('\n');
    const at = lines.indexOf('  delay: {}');
    assert(at > 0, 'config/default.yaml has the step delay');
    rmSync(join(config, 'default.yaml'));
    writeFileSync(join(config, 'default.yaml'), lines.toSpliced(at + 1, 0, '  audit-trail: {}').join('\n'));

    world = await aWorld({}, { directory: pathToFileURL(config) });
    await world.start({ actorsDirectory: pathToFileURL(actors) });
  });
  after(async () => {
    await world?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function linkAll(relative: string, to: string): void {
    mkdirSync(to);
    for (const file of readdirSync(pathOf(relative)))
      symlinkSync(join(pathOf(relative), file), join(to, file));
  }

  it('is one file and one entry: a notice runs through it, between the others', async () => {
    assert.deepEqual(Object.keys(world.config.steps), ['validation', 'delay', 'audit-trail', 'tms']);
    const orderIds = await world.orders(700);
    const canceled = 'canceled-1';
    await upsertOrders(world.store, [
      anOrderRow({ orderId: canceled, status: 'canceled', promisedShipDate: inDays(0) }),
    ]);
    const { noticeId } = await world.post([...orderIds, canceled]);
    assert.deepEqual(await world.settled(noticeId), { notified: 700, rejected: 1 });
    await world.toldOnce(noticeId, orderIds);
    const rows = await world.store.query<{ orderId: string }>(
      `select distinct detail ->> 'orderId' as "orderId" from audit where subject = $1`,
      [noticeId],
    );
    assert.deepEqual(rows.map(({ orderId }) => orderId).toSorted(), orderIds.toSorted());
  });

  it('has all that every step has: its queues, attempts, and a failed queue that is emptied', async () => {
    const own = (await queuesIn(world.vhost)).filter(({ name }) => name.startsWith('audit-trail.'));
    assert.deepEqual(own.map(({ name }) => name).toSorted(), [
      'audit-trail.bulk',
      'audit-trail.express',
      'audit-trail.failed',
      'audit-trail.retriable',
    ]);
    assert.deepEqual([...new Set(own.map(({ type }) => type))], ['quorum']);

    const doubtful = 'order-doubtful';
    await upsertOrders(world.store, [anOrderRow({ orderId: doubtful, promisedShipDate: inDays(0) })]);
    const orderIds = await world.orders(5);
    const { noticeId } = await world.post([...orderIds, doubtful]);
    assert.deepEqual(await world.settled(noticeId), { notified: 5, failed: 1 });
    assert.equal((await statesOf(world.store, { noticeId }))[doubtful], 'failed');
    const [failure] = await listFailures(world.store);
    assert.deepEqual(
      [failure?.step, failure?.attempt, failure?.errorMessage],
      ['audit-trail', world.config.steps['audit-trail']?.maxAttempts, 'in doubt'],
    );
  });
});
