import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { parseRule } from '../../src/switches/parse.ts';
import { onlyVariant } from '../../src/switches/rule.ts';
import type { Evaluation } from '../../src/switches/switch.ts';
import { readSwitch, type WrittenValue } from '../../src/switches/write.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { freshZookeeperRoot, temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { type Ensemble, ensembleIn, type Member } from './ensemble.ts';
import { connectedAgain, type Follower, flip, follower, opened, registry, type Where } from './opened.ts';

/** Switches of this process, with all that they ever gave. */
type Client = Awaited<ReturnType<typeof opened>> & { readonly shown: Evaluation[] };

const name = 'delay-notice-path';
const timeoutMs = 60_000;

describe('switches, on three ZooKeeper servers', function () {
  this.timeout(2 * timeoutMs);

  let folder: ReturnType<typeof temporaryFolder>;
  let ensemble: Ensemble;
  let where: Where;
  let clients: Client[];
  /** The same in other processes, but with less to see. */
  let followers: Follower[];
  /** What was to be written, whether it was or not. */
  let asked: string[];
  /** What was written for sure. */
  let written: WrittenValue[];
  let closing: (() => Promise<unknown>)[] = [];

  before(async () => {
    folder = temporaryFolder();
    ensemble = ensembleIn(folder.dir);
    await ensemble.start();
  });

  beforeEach(async () => {
    await ensemble.start();
    where = { connect: ensemble.connect(), root: (await freshZookeeperRoot()).root };
    [clients, followers, asked, written] = [[], [], [], []];
  });

  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
  });

  after(async () => {
    await ensemble.stop();
    folder.drop();
  });

  it('have one session each, and none after close', async () => {
    await thereAreSessions(0);
    for (let count = 1; count <= 4; count += 1) {
      await open();
      await thereAreSessions(count);
    }
    for (const [index, client] of clients.entries()) {
      await client.close();
      await thereAreSessions(3 - index);
    }
  });

  it('are what is truly written, though one leader is killed during a flip, and then the next', async () => {
    await write();
    await follow();
    for (const flipsGoOn of [false, true]) {
      await ensemble.start();
      await openOnEachServer();
      const leader = await ensemble.leader();
      const flips = flipInALoop();
      await all(clients, ({ shown }) => shown.length > 3, 'had seen a few flips');

      const told = clients.map(({ changes }) => changes.length);
      const said = followers.map((each) => each.said.length);
      await aWriterIsConnected();
      await ensemble.kill(leader);
      if (flipsGoOn) await flips.more(2);
      await flips.stop();

      await all(clients, ({ changes }, index) => wasAway(changes.slice(told[index])), 'had noticed');
      await all(followers, (each, index) => wasAway(each.said.slice(said[index])), 'had noticed');
      await allGiveWhatIsWritten();
      await write();
      await allGiveWhatIsWritten();
      await thereAreSessions(clients.length + followers.length);
    }
    nothingElseWasGiven();
  });

  it('stay as they are, as stale, while two servers are down, and are followed again afterwards', async () => {
    const { raw, version } = await write();
    await follow();
    await openOnEachServer();
    const leader = await ensemble.leader();
    const others = ensemble.members.filter((member) => member !== leader);
    await Promise.all(others.map((member) => ensemble.kill(member)));
    await allGive(raw, version, 'STALE');
    await assert.rejects(flip(where, nextValue()), /can't be reached/u);
    await allGive(raw, version, 'STALE');

    await ensemble.start();
    await allGive(raw, version, 'STATIC');
    await write();
    await allGiveWhatIsWritten();
    nothingElseWasGiven();
  });

  it('are never older than they were, though the next server lags behind', async () => {
    const leader = await ensemble.leader();
    const lagging = ensemble.members.find((member) => member !== leader) ?? assert.fail();
    const loose = await ensemble.loosen(lagging);
    closing.push(() => loose.fasten());
    const toLeader = await proxied(leader);
    const toLagging = await proxied(lagging);
    const { root } = where;
    where = { connect: leader.url, root };
    const first = await write();
    await until(() => readAt(lagging), { timeoutMs, what: 'the follower knew of the first flip' });
    await open({ connect: lagging.url, root });
    toLagging.cut();
    await open({ connect: `${toLeader.address},${toLagging.address}`, root });
    const [staying, moving] = clients as [Client, Client];

    loose.silence();
    const second = await write();
    await all([moving], ({ path }) => path().version === second.version, 'saw the flip');
    const told = moving.changes.length;
    toLagging.mend();
    toLeader.cut();
    await all([moving], ({ changes }) => wasAway(changes.slice(told)), 'had noticed');
    const tried = () => moving.status().lastError?.includes('it is behind what was seen before');
    await until(tried, { timeoutMs, what: 'the server that lags was tried, and left' });
    const shown = [staying, moving].map(({ path }) => [path().version, path().reason]);
    assert.deepEqual(shown, [
      [first.version, 'STATIC'],
      [second.version, 'STALE'],
    ]);

    toLeader.mend();
    await loose.fasten();
    await write();
    await allGiveWhatIsWritten();
    nothingElseWasGiven();
  });

  async function proxied(member: Member): Promise<Proxy> {
    const proxy = await proxyTo(member.port());
    closing.push(() => proxy.close());
    return proxy;
  }

  async function open(at = where): Promise<void> {
    const switches = await opened(at);
    closing.push(() => switches.close());
    await connectedAgain(switches);
    const shown = [switches.path()];
    const look = () => {
      const now = switches.path();
      if (!isDeepStrictEqual(now, shown.at(-1))) shown.push(now);
    };
    switches.subscribe(look);
    // Also looks in between: nobody is told that a value is lost, for instance.
    const looking = setInterval(look, 5);
    closing.push(async () => clearInterval(looking));
    clients.push({ ...switches, shown });
  }

  /** Opens switches until each server has some: each picks its server by chance. */
  async function openOnEachServer(): Promise<void> {
    do await open();
    while ((await ensemble.sessions()).some(({ length }) => length === 0));
  }

  /** Starts another process, and waits until it follows. */
  async function follow(): Promise<void> {
    const following = await follower(where);
    closing.push(() => following.end());
    await all([following], (each) => each.last()?.reason === 'STATIC', 'followed');
    // What it said before it was connected doesn't count.
    following.said.splice(0, following.said.length - 1);
    followers.push(following);
  }

  /** A value that nobody has written yet; never the fallback. */
  function nextValue(): string {
    const variant = asked.length % 2 === 0 ? 'actors' : 'shadow';
    const value = JSON.stringify({ variants: { [variant]: 100 }, note: `flip ${asked.length}` });
    asked.push(value);
    return value;
  }

  function readAt({ url }: Member): Promise<WrittenValue | null> {
    return readSwitch({ ...where, connect: url, registry }, name);
  }

  async function writeOnce(): Promise<WrittenValue> {
    const { now } = await flip(where, nextValue());
    written.push(now);
    return now;
  }

  /** Flips, again and again until it succeeds; meanwhile there may be no leader. */
  function write(): Promise<WrittenValue> {
    return until(writeOnce, { timeoutMs, what: 'a flip succeeded' });
  }

  /** Flips without a pause, so that there is always a flip in flight, and goes on where one fails. */
  function flipInALoop() {
    const end = new AbortController();
    const loop = async () => {
      while (!end.signal.aborted) await writeOnce();
      return true;
    };
    const ended = until(loop, { timeoutMs: 2 * timeoutMs, what: 'it was told to end' });
    const flips = {
      more: (count: number) => {
        const { length } = written;
        const are = () => written.length >= length + count;
        return until(are, { timeoutMs, what: `${count} more flips succeeded` });
      },
      stop: () => {
        end.abort();
        return ended;
      },
    };
    closing.push(flips.stop);
    return flips;
  }

  async function allGive(raw: string, version: number, reason: string): Promise<void> {
    const variant = variantOf(raw);
    const expected = { value: variant, variant, reason, version };
    await all(clients, ({ path }) => isDeepStrictEqual(path(), expected), `gave ${raw} as ${reason}`);
    const says = (each: Follower) => each.last()?.variant === variant && each.last()?.reason === reason;
    await all(followers, says, `gave ${raw} as ${reason}`);
  }

  async function allGiveWhatIsWritten(): Promise<void> {
    const read = async () => readAt(await ensemble.leader());
    const { raw, version } = await until(read, { timeoutMs, what: 'the leader said what is written' });
    await allGive(raw, version, 'STATIC');
    const last = written.at(-1)?.version ?? 0;
    assert.ok(version >= last, `version ${last} was written, and is lost: the leader has ${version}`);
  }

  /** Checks all that was ever seen: no version but those written, each with its one value, and never an older one. */
  function nothingElseWasGiven(): void {
    const values = new Map(written.map(({ version, raw }) => [version, raw]));
    for (const { changes } of clients) {
      for (const change of changes) {
        if (!('name' in change) || change.name !== name) continue;
        assert.ok(change.kind === 'value', `it was told that the switch is ${change.kind}`);
        const { raw, version } = change;
        assert.ok(asked.includes(raw), `${raw} was never written`);
        assert.equal(raw, values.get(version) ?? raw, `version ${version} has two values`);
        values.set(version, raw);
      }
    }
    for (const { shown } of clients) {
      for (const [index, { variant, reason, version }] of shown.entries()) {
        assert.ok(['STATIC', 'STALE'].includes(reason), `${variant} was given as ${reason}`);
        assert.equal(variant, variantOf(values.get(version ?? -1) ?? ''));
        const before = shown[index - 1]?.version ?? 0;
        assert.ok((version ?? -1) >= before, `version ${version} came after ${before}`);
      }
    }
    for (const { variant, reason } of followers.flatMap(({ said }) => said)) {
      assert.ok(variant !== 'legacy' && ['STATIC', 'STALE'].includes(reason), `${variant} as ${reason}`);
    }
  }

  async function aWriterIsConnected(): Promise<void> {
    const is = async () => (await ensemble.sessions()).flat().length > clients.length + followers.length;
    await until(is, { timeoutMs, what: 'a writer was connected' });
  }

  async function thereAreSessions(count: number): Promise<void> {
    const matches = async () => {
      const ids = (await ensemble.sessions()).flat();
      return ids.length === count || assert.fail(`there are ${ids.length}`);
    };
    await until(matches, { timeoutMs, what: `there were ${count} sessions` });
  }
});

function all<Each>(each: readonly Each[], holds: (one: Each, index: number) => boolean, what: string) {
  const holdsForAll = () => each.every(holds);
  return until(holdsForAll, { timeoutMs, what: `each process ${what}` });
}

const wasAway = (kinds: readonly { kind: string }[]) => kinds.some(({ kind }) => kind === 'away');

const variantOf = (raw: string) => onlyVariant(parseRule(registry[name], raw));
