import assert from 'node:assert/strict';
import { loadConfig } from '../src/config/load.ts';
import { openOverrides } from '../src/overrides.ts';
import type { LaneLimits } from '../src/pipeline/override.ts';
import { type Proxy, proxyTo } from './support/proxy.ts';
import { freshZookeeperRoot, temporaryFolder } from './support/servers.ts';
import { until } from './support/wait.ts';
import { zkCli } from './switches/opened.ts';

describe('overrides in ZooKeeper', () => {
  let direct: Awaited<ReturnType<typeof freshZookeeperRoot>>;
  let wire: Proxy;
  let snapshots: ReturnType<typeof temporaryFolder>;
  let closing: (() => Promise<unknown>)[] = [];
  beforeEach(async () => {
    direct = await freshZookeeperRoot();
    wire = await proxyTo(Number(direct.connect.split(':')[1]));
    snapshots = temporaryFolder();
  });
  afterEach(async () => {
    wire.mend();
    await Promise.all(closing.map((close) => close()));
    closing = [];
    await wire.close();
    snapshots.drop();
  });

  async function open({ connectWaitMs = 5_000 } = {}) {
    const config = loadConfig({ env: {} });
    for (const { lanes } of Object.values(config.steps))
      Object.assign(lanes['bulk'] ?? {}, { consumers: { min: 2, max: 4 } });
    Object.assign(config.zookeeper, {
      connect: wire.address,
      root: direct.root,
      sessionTimeoutMs: 1_000,
      connectWaitMs,
      snapshotDir: snapshots.dir,
    });
    const logged: string[] = [];
    const say = (_: object, message: string) => logged.push(message);
    const malformed: string[] = [];
    const overrides = await openOverrides(config, {
      log: { info: say, warn: say, error: say },
      malformed: (name) => malformed.push(name),
    });
    closing.push(() => overrides.close());
    const told: [lane: string, limits: LaneLimits][] = [];
    overrides.follow((step, lane, limits) => told.push([`${step}.${lane}`, limits]));
    return { ...overrides, bulk: () => overrides.limitsOf('tms', 'bulk'), told, logged, malformed };
  }
  const write = async (name: string, value: object, how: 'create' | 'set' = 'create') =>
    zkCli(direct, how, `${direct.root}/pipeline/${name}`, JSON.stringify(value));

  it('are told of each lane they concern, and of no other', async () => {
    const overrides = await open();
    assert.deepEqual(overrides.bulk(), { min: 2, max: 4, from: undefined, pause: undefined });
    await write('tms', { paused: true, by: 'bori' });
    await until(() => overrides.told.length === 2, { what: 'both lanes of the step were told' });
    assert.deepEqual(
      overrides.told.map(([name, { pause }]) => [name, pause?.by]),
      [
        ['tms.express', 'bori'],
        ['tms.bulk', 'bori'],
      ],
    );
    await write('delay.bulk', { max: 9 });
    await until(() => overrides.told.length === 3, { what: 'the lane was told' });
    assert.deepEqual([overrides.told[2]?.[0], overrides.told[2]?.[1].max], ['delay.bulk', 9]);
  });

  it('stay as last known while ZooKeeper is away, also in a process that starts meanwhile, and are followed again', async () => {
    const before = await open();
    await write('tms.bulk', { max: 9, paused: true });
    await until(() => before.bulk().pause, { what: 'it is paused' });
    wire.cut();
    await until(() => before.logged.some((line) => /away .*; overrides stay as last known/.test(line)), {
      what: 'it has noticed',
    });
    assert.deepEqual([before.bulk().max, before.bulk().pause?.name], [9, 'tms.bulk']);

    const after = await open({ connectWaitMs: 100 });
    assert.deepEqual([after.bulk().max, after.bulk().pause?.name], [9, 'tms.bulk']);
    await write('tms.bulk', { max: 5 }, 'set');
    wire.mend();
    for (const each of [before, after])
      await until(() => each.bulk().max === 5 && !each.bulk().pause, { what: 'it has caught up' });
    await zkCli(direct, 'delete', `${direct.root}/pipeline/tms.bulk`);
    for (const each of [before, after])
      await until(() => each.bulk().max === 4, { what: 'the configuration holds again' });
  });

  it('that can not be used change nothing, and are counted once in each process', async () => {
    const overrides = await open();
    await write('tms.bulk', { min: 3 });
    await until(() => overrides.bulk().min === 3, { what: 'it is in use' });
    await zkCli(direct, 'set', `${direct.root}/pipeline/tms.bulk`, 'corn');
    await until(() => overrides.malformed.length > 0, { what: 'it was counted' });
    assert.deepEqual([overrides.bulk().min, overrides.malformed], [3, ['tms.bulk']]);
    assert.match(overrides.logged.join('\n'), /override "tms\.bulk" .*no JSON.*version 0 stays in use/);
  });

  it('are none without a ZooKeeper', async () => {
    const config = loadConfig({ env: {} });
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const overrides = await openOverrides(config, { log, malformed: () => {} });
    assert.equal(overrides.limitsOf('tms', 'bulk').max, config.steps['tms']?.lanes['bulk']?.consumers.max);
    await overrides.close();
  });
});
