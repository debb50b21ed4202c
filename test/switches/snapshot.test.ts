import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startZookeeper } from '../../src/stack/zookeeper.ts';
import { freshZookeeperRoot, temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { connectedAgain, flip, opened, type Where, zkCli } from './opened.ts';

describe('the snapshot of the switches', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let zookeeper: Awaited<ReturnType<typeof startZookeeper>>;
  let where: Where;
  let snapshots: ReturnType<typeof temporaryFolder>;
  let closing: (() => Promise<unknown>)[] = [];

  before(async function () {
    this.timeout(60_000);
    folder = temporaryFolder();
    zookeeper = await startZookeeper({ dir: folder.dir });
  });
  beforeEach(async () => {
    await zookeeper.start();
    where = { connect: zookeeper.url, root: (await freshZookeeperRoot()).root };
    snapshots = temporaryFolder();
  });
  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
    snapshots.drop();
  });
  after(async () => {
    await zookeeper.stop();
    folder.drop();
  });

  async function open(snapshotDir = join(snapshots.dir, 'switches'), at = where) {
    const switches = await opened(at, { connectWaitMs: 300, snapshotDir });
    closing.push(() => switches.close());
    return switches;
  }
  const files = () => readdirSync(join(snapshots.dir, 'switches'));
  const content = () => readFileSync(join(snapshots.dir, 'switches', files()[0] ?? ''), 'utf8');
  const gives = async (switches: Awaited<ReturnType<typeof open>>, variant: string, reason: string) =>
    until(() => switches.path().variant === variant && switches.path().reason === reason, {
      what: `${variant} was given as ${reason}`,
    });

  it('is what a process starts from while ZooKeeper is away, until that is there', async () => {
    await flip(where, 'on');
    const before = await open();
    await flip(where, 'legacy=0 actors=0 shadow=100');
    await gives(before, 'shadow', 'STATIC');
    await before.close();
    assert.equal(files().length, 1, 'no draft is left');
    await zookeeper.stop();

    const switches = await open();
    assert.deepEqual(switches.path(), { value: 'shadow', variant: 'shadow', reason: 'STALE', version: 1 });
    await zookeeper.start();
    await gives(switches, 'shadow', 'STATIC');
    await flip(where, 'off');
    await gives(switches, 'legacy', 'STATIC');
  });

  it('keeps the last good value of a switch that is malformed, and none of one that was deleted', async () => {
    await flip(where, 'on');
    const before = await open();
    await zkCli(where, 'set', `${where.root}/switches/delay-notice-path`, 'onn');
    await until(() => before.changes.some(({ kind }) => kind === 'malformed'), { what: 'it is malformed' });
    await before.close();
    await zookeeper.stop();
    assert.equal((await open()).path().variant, 'actors');

    await zookeeper.start();
    await zkCli(where, 'delete', `${where.root}/switches/delay-notice-path`);
    const after = await open();
    await gives(after, 'legacy', 'DEFAULT');
    await after.close();
    await zookeeper.stop();
    assert.equal((await open()).path().reason, 'DEFAULT');
  });

  it('tells a process that ZooKeeper was emptied while none was there to see it, more than once', async () => {
    await flip(where, 'on');
    await (await open()).close();
    await zookeeper.stop();
    rmSync(join(folder.dir, 'data'), { recursive: true });
    await zookeeper.start();
    for (let time = 0; time < 2; time += 1) {
      const switches = await open();
      await connectedAgain(switches);
      await gives(switches, 'actors', 'STALE');
      await switches.close();
    }
    await flip(where, 'off');
    await gives(await open(), 'legacy', 'STATIC');
  });

  it('is of no use to another root, and does not touch its', async () => {
    await flip(where, 'on');
    await (await open()).close();
    await zookeeper.stop();
    const other = await open(undefined, { ...where, root: `${where.root}x` });
    assert.equal(other.path().reason, 'DEFAULT');
    assert.equal((await open()).path().variant, 'actors');
  });

  const useless: [what: string, change: (written: string) => string][] = [
    ['cut off', (written) => written.slice(0, -20)],
    ['no JSON', () => 'corn'],
    ['null', () => 'null'],
    ['of another format', (written) => written.replace('"format": 1', '"format": 2')],
    [
      'with a time that is none',
      (written) => written.replace(/"changedAt": "[^"]+"/u, '"changedAt": "corn"'),
    ],
    ['without its switches', (written) => written.replace('"switches"', '"corn"')],
  ];
  for (const [what, change] of useless)
    it(`is left alone, with a warning, where it is ${what}`, async () => {
      await flip(where, 'on');
      await (await open()).close();
      await zookeeper.stop();
      const path = join(snapshots.dir, 'switches', files()[0] ?? '');
      writeFileSync(path, change(content()));
      const switches = await open();
      assert.equal(switches.path().reason, 'DEFAULT');
      assert.equal(switches.logged.filter((line) => line.includes('snapshot')).length, 1);
    });

  it('that can not be written stops nothing, and is told once', async () => {
    writeFileSync(join(snapshots.dir, 'switches'), 'in its way');
    await flip(where, 'on');
    const switches = await open();
    await flip(where, 'off');
    await gives(switches, 'legacy', 'STATIC');
    await switches.close();
    assert.equal(switches.logged.filter((line) => line.includes('can not be written')).length, 1);
  });

  it('is shared by processes without one ever reading half of it', async () => {
    await flip(where, 'on');
    const [one, other] = [await open(), await open()];
    for (let flips = 0; flips < 30; flips += 1) {
      await flip(where, flips % 2 === 0 ? 'off' : 'on');
      JSON.parse(content());
    }
    await gives(one, 'actors', 'STATIC');
    await gives(other, 'actors', 'STATIC');
    await Promise.all([one.close(), other.close()]);
    assert.match(content(), new RegExp(Buffer.from('on').toString('base64')));
  });
});
