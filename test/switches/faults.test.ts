import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/stack/ask.ts';
import { startZookeeper } from '../../src/stack/zookeeper.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { freshZookeeperRoot, temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { connectedAgain, type Follower, flip, follower, opened, type Where, zkCli } from './opened.ts';

/** What the switches of these tests ask for; the server agrees. */
const sessionTimeoutMs = 1_000;

describe('switches, when ZooKeeper', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let zookeeper: Awaited<ReturnType<typeof startZookeeper>>;
  let where: Where;
  let closing: (() => Promise<unknown>)[] = [];

  before(async function () {
    this.timeout(60_000);
    folder = temporaryFolder();
    zookeeper = await startZookeeper({ dir: folder.dir });
  });

  beforeEach(async () => {
    await zookeeper.start();
    where = { connect: zookeeper.url, root: (await freshZookeeperRoot()).root };
  });

  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
  });

  after(async () => {
    await zookeeper.stop();
    folder.drop();
  });

  async function open(at = where, options: Parameters<typeof opened>[1] = {}) {
    const switches = await opened(at, { connectWaitMs: 5_000, ...options });
    closing.push(() => switches.close());
    return switches;
  }

  async function follow(at = where): Promise<Follower> {
    const following = await follower(at);
    closing.push(() => following.end());
    return following;
  }

  async function proxied(): Promise<Proxy> {
    const proxy = await proxyTo(zookeeper.port());
    closing.push(() => proxy.close());
    return proxy;
  }

  it('is absent at the start: the fallback applies, until it is there', async () => {
    await flip(where, 'on');
    await zookeeper.kill();
    const switches = await open(where, { connectWaitMs: 300 });
    assert.deepEqual(switches.path(), {
      value: 'legacy',
      variant: 'legacy',
      reason: 'DEFAULT',
      version: null,
    });
    const { connected, awaySince, lastError } = switches.status();
    assert.deepEqual([connected, awaySince instanceof Date], [false, true]);
    assert.match(lastError ?? '', /ECONNREFUSED/u);

    await zookeeper.start();
    await gives(switches, 'actors', 'STATIC');
    assert.deepEqual(switches.changes.map(({ kind }) => kind).toSorted(), [
      'absent',
      'away',
      'connected',
      'value',
    ]);
  });

  it('is killed and comes back: values stay, as stale, and flips are seen again', async () => {
    await flip(where, 'on');
    const switches = await open();
    await zookeeper.kill();
    await gives(switches, 'actors', 'STALE');
    assert.equal(switches.path().version, 0);
    assert.equal(switches.logged.filter((line) => line.startsWith('warn: ZooKeeper is away')).length, 1);

    await zookeeper.start();
    await gives(switches, 'actors', 'STATIC');
    await flip(where, 'shadow');
    await gives(switches, 'shadow', 'STATIC');
  });

  it('comes back empty: values stay, as stale, through more losses, until they are set again', async () => {
    await flip(where, 'on');
    const switches = await open();
    for (let time = 0; time < 2; time += 1) {
      await zookeeper.stop();
      rmSync(join(folder.dir, 'data'), { recursive: true });
      await zookeeper.start();
      await connectedAgain(switches);
      await gives(switches, 'actors', 'STALE');
    }
    const { error, raw } = switches.status().switches['delay-notice-path'];
    assert.match(error ?? '', /^ZooKeeper has lost its data.*set it again/u);
    assert.equal(raw, null);
    assert.ok(switches.logged.some((line) => line.startsWith('error: ZooKeeper has lost its data')));

    await zookeeper.stop();
    await gives(switches, 'actors', 'STALE');
    await zookeeper.start();
    await connectedAgain(switches);
    await gives(switches, 'actors', 'STALE');

    await flip(where, 'shadow');
    await gives(switches, 'shadow', 'STATIC');
    await zkCli(where, 'delete', `${where.root}/switches/delay-notice-path`);
    await gives(switches, 'legacy', 'DEFAULT');
  });

  it('comes back without a znode that was deleted meanwhile, and with all else: that is no loss', async () => {
    await flip(where, 'on');
    const proxy = await proxied();
    const switches = await open({ ...where, connect: proxy.address });
    proxy.cut();
    await gives(switches, 'actors', 'STALE');
    await zkCli(where, 'delete', `${where.root}/switches/delay-notice-path`);
    proxy.mend();
    await gives(switches, 'legacy', 'DEFAULT');
  });

  it('comes back without its data after its place was only made while it was followed: values stay', async () => {
    await zkCli(where, 'create', where.root, '', 'world:anyone:ra');
    const switches = await open();
    await zkCli(where, 'setAcl', where.root, 'world:anyone:cdrwa');
    await flip(where, 'on');
    await gives(switches, 'actors', 'STATIC');
    await zookeeper.stop();
    rmSync(join(folder.dir, 'data'), { recursive: true });
    await zookeeper.start();
    await connectedAgain(switches);
    await gives(switches, 'actors', 'STALE');
  });

  it('is cut off after its place was made anew: what is deleted meanwhile is deleted, not lost', async () => {
    await flip(where, 'on');
    const proxy = await proxied();
    const switches = await open({ ...where, connect: proxy.address });
    await zkCli(where, 'deleteall', where.root);
    await gives(switches, 'legacy', 'DEFAULT');
    await flip(where, 'shadow');
    await gives(switches, 'shadow', 'STATIC');
    proxy.cut();
    await gives(switches, 'shadow', 'STALE');
    await zkCli(where, 'delete', `${where.root}/switches/delay-notice-path`);
    proxy.mend();
    await gives(switches, 'legacy', 'DEFAULT');
  });

  it('comes back with older data, from a backup: values stay, as stale, for a while, then those are followed', async () => {
    await flip(where, 'on');
    await zookeeper.stop();
    const [data, backup] = [join(folder.dir, 'data'), join(folder.dir, 'backup')];
    execFileSync('cp', ['-a', data, backup]);
    await zookeeper.start();
    await flip(where, 'shadow');
    const switches = await open(where, { behindMostMs: 2_000 });
    await gives(switches, 'shadow', 'STATIC');
    await zookeeper.stop();
    rmSync(data, { recursive: true });
    renameSync(backup, data);
    await zookeeper.start();
    await until(() => /is behind what was seen/u.test(switches.status().lastError ?? ''), {
      what: 'it was found to be behind',
    });
    await gives(switches, 'shadow', 'STALE');
    await gives(switches, 'actors', 'STATIC');
    await flip(where, 'off');
    await gives(switches, 'legacy', 'STATIC');
  });

  it('is paused for longer than the session: values stay, as stale, and flips are seen again', async () => {
    await flip(where, 'on');
    const switches = await open();
    zookeeper.pause();
    try {
      await gives(switches, 'actors', 'STALE');
      await sleep(3 * sessionTimeoutMs);
    } finally {
      zookeeper.resume();
    }
    await flip(where, 'shadow');
    await gives(switches, 'shadow', 'STATIC');
    await flip(where, 'off');
    await gives(switches, 'legacy', 'STATIC');
  });

  it('expires the session of a paused process: what it slept through is seen, and what comes after', async () => {
    await flip(where, 'off');
    const following = await follow();
    following.process.kill('SIGSTOP');
    await flip(where, 'on');
    await sleep(2 * sessionTimeoutMs);
    await until(async () => (await sessions()) === 0, { what: 'the session expired' });
    await flip(where, 'shadow');
    following.process.kill('SIGCONT');
    await says(following, 'shadow');
    await zkCli(where, 'set', `${where.root}/switches/delay-notice-path`, 'on');
    await says(following, 'actors');
  });

  it('is cut off and flipped meanwhile: the flip is seen, and what comes after', async () => {
    await flip(where, 'on');
    const proxy = await proxied();
    const switches = await open({ ...where, connect: proxy.address });
    for (const [value, variant] of [
      ['shadow', 'shadow'],
      ['off', 'legacy'],
    ] as const) {
      const before = switches.path().variant;
      proxy.cut();
      await gives(switches, before, 'STALE');
      await flip(where, value);
      proxy.mend();
      await gives(switches, variant, 'STATIC');
      await flip(where, 'on');
      await gives(switches, 'actors', 'STATIC');
    }
  });

  it('goes silent without a word: that is noticed', async () => {
    await flip(where, 'on');
    const proxy = await proxied();
    const switches = await open({ ...where, connect: proxy.address });
    proxy.silence();
    await gives(switches, 'actors', 'STALE', 2 * sessionTimeoutMs);
    await flip(where, 'shadow');
    proxy.mend();
    await gives(switches, 'shadow', 'STATIC');
  });

  it('has several servers of which some are down: another one is taken', async () => {
    await flip(where, 'on');
    const dead = await proxyTo(1);
    await dead.close();
    for (let time = 0; time < 4; time += 1) {
      const switches = await open({ ...where, connect: `${dead.address},${where.connect}` });
      await gives(switches, 'actors', 'STATIC');
    }
  });

  it('is followed below a chroot', async () => {
    await zkCli(where, 'create', where.root, '');
    const below = { connect: `${where.connect}${where.root}`, root: '/shop' };
    const switches = await open(below);
    await flip(below, 'on');
    await gives(switches, 'actors', 'STATIC');
    assert.match(await zkCli(where, 'get', `${where.root}/shop/switches/delay-notice-path`), /^on$/mu);
  });

  it('has one session per process, and none after close', async () => {
    const switches = await open();
    assert.equal(await sessions(), 1);
    await switches.close();
    await until(async () => (await sessions()) === 0, { what: 'the session was closed' });
    assert.equal(switches.path().reason, 'DEFAULT');
  });

  const states: [what: string, prepare: (proxy: Proxy) => void][] = [
    ['is there', () => {}],
    ['is away', (proxy) => proxy.cut()],
    ['says nothing', (proxy) => proxy.silence()],
  ];
  for (const [what, prepare] of states) {
    it(`${what}: close leaves no timer and no socket, so the process ends by itself`, async () => {
      const proxy = await proxied();
      prepare(proxy);
      const following = await follower({ ...where, connect: proxy.address });
      assert.equal(await following.end(), 0);
      assert.ok(following.said.some(({ kind }) => kind === 'closed'));
      await until(() => proxy.connections() === 0, { what: 'no connection was left' });
    });
  }

  it('is away: close works at any moment', async () => {
    const proxy = await proxied();
    for (const state of ['mend', 'cut', 'silence'] as const) {
      proxy[state]();
      for (const connectWaitMs of [0, 1, 5, 20, 60]) {
        const switches = await opened({ ...where, connect: proxy.address }, { connectWaitMs });
        await switches.close();
      }
      await until(() => proxy.connections() === 0, { what: 'no connection was left' });
    }
  });

  /** How many sessions the server has, leaving out the connection that asks. */
  async function sessions(): Promise<number> {
    const answer = (await ask(zookeeper.port(), 'cons')).toString();
    return answer.split('\n').filter((line) => line.includes('sid=')).length;
  }
});

type Opened = Awaited<ReturnType<typeof opened>>;

/** Waits until the switch gives `variant` for `reason`. */
async function gives(switches: Opened, variant: string, reason: string, timeoutMs = 5_000): Promise<void> {
  const matches = () => switches.path().variant === variant && switches.path().reason === reason;
  await until(matches, { timeoutMs, what: `${variant} was given as ${reason}` });
}

async function says(following: Follower, variant: string): Promise<void> {
  const matches = () => following.last()?.variant === variant && following.last()?.reason === 'STATIC';
  await until(matches, { timeoutMs: 5_000, what: `the process gave ${variant}` });
}
