import assert from 'node:assert/strict';
import { pino } from 'pino';
import { switchHistory } from '../../src/store/switchHistory.ts';
import {
  recordChanges,
  type SwitchHistory,
  type SwitchVersion,
  withGaps,
} from '../../src/switches/history.ts';
import { migratedDatabase } from '../support/database.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { flip, opened, type Where, zkCli } from './opened.ts';

const name = 'delay-notice-path';

describe('the history of the switches', () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  let history: SwitchHistory;
  let where: Where;
  let closing: (() => Promise<unknown>)[] = [];

  before(async () => {
    database = await migratedDatabase();
  });
  beforeEach(async () => {
    await database.store.query('truncate audit');
    where = await freshZookeeperRoot();
    history = switchHistory(database.store, where.root);
  });
  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
  });
  after(() => database.drop());

  /** A process that keeps what it sees. */
  async function recording(into: Pick<SwitchHistory, 'keep'> = history) {
    const recorder = recordChanges(into, pino({ level: 'silent' }), { retryMs: 20 });
    const switches = await opened(where);
    // As if told from the start: `opened` has noted every change so far.
    for (const change of switches.changes) recorder.take(change);
    switches.subscribe((change) => recorder.take(change));
    closing.push(async () => {
      await switches.close();
      await recorder.close();
    });
    return switches;
  }
  const versions = () => history.versions(name, 100);
  const kept = (count: number) =>
    until(async () => (await versions()).length === count && (await versions()), {
      what: `${count} versions were kept`,
    });

  it('has each version once, however many processes see it', async () => {
    await flip(where, '25%');
    await Promise.all([recording(), recording(), recording()]);
    await flip(where, 'on');
    await zkCli(where, 'set', `${where.root}/switches/${name}`, 'onn');
    const [malformed, on, first, ...more] = await kept(3);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [first, on, malformed].map((version) => [version?.version, version?.raw, version?.who]),
      [
        [0, '25%', null],
        [1, 'on', null],
        [2, 'onn', null],
      ],
    );
    assert.equal(first?.error, null);
    assert.match(malformed?.error ?? '', /^"onn" is neither a variant nor a share/u);
    assert.ok((on?.mzxid ?? 0n) > (first?.mzxid ?? 0n) && on?.czxid === first?.czxid);
    assert.ok(
      Math.abs((on?.changedAt.getTime() ?? 0) - Date.now()) < 60_000,
      'the time is that of the write',
    );
  });

  it('keeps the note that is written in the value', async () => {
    await recording();
    const value = { variants: { legacy: 70, actors: 30 }, note: 'ramp after incident 12' };
    await flip(where, JSON.stringify(value));
    assert.equal((await kept(1))[0]?.note, 'ramp after incident 12');
  });

  it('learns who it was and why, whoever tells first, and never forgets it', async () => {
    await recording();
    const { now } = await flip(where, 'on');
    await kept(1);
    const told = { name, ...now, who: 'bori', note: 'harvest', error: null };
    await history.keep(told);
    const seen = { ...told, who: null, note: null };
    await history.keep(seen);
    await history.keep({ ...told, who: 'somebody else' });
    assert.deepEqual(await versions(), [told]);
  });

  it('takes a ZooKeeper that lost its data, and counts from the beginning again, for another', async () => {
    const { now } = await flip(where, 'on');
    const first = { name, ...now, who: null, note: null, error: null };
    await history.keep(first);
    const day = 86_400_000;
    const later = new Date(now.changedAt.getTime() + day);
    const again = { ...first, raw: 'off', createdAt: later, changedAt: later, who: 'bori' };
    await history.keep(again);
    await history.keep({ ...first, who: 'haneul' });
    assert.deepEqual(await versions(), [again, { ...first, who: 'haneul' }]);
  });

  it('goes on after a time without Postgres, in order and without a loss', async () => {
    let away = true;
    await recording({
      keep: async (version) => {
        if (away) throw new Error('Postgres is away');
        await history.keep(version);
      },
    });
    for (const value of ['on', 'off', '30%']) await flip(where, value);
    assert.deepEqual(await versions(), []);
    away = false;
    assert.deepEqual(
      (await kept(3)).map(({ raw }) => raw),
      ['30%', 'off', 'on'],
    );
  });

  it('lets the oldest go beyond a thousand that wait, but for the one on its way', async () => {
    const kept: number[] = [];
    let release: (() => void) | undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const recorder = recordChanges(
      {
        keep: async ({ version }) => {
          await released;
          kept.push(version);
        },
      },
      pino({ level: 'silent' }),
    );
    const changed = new Date();
    const stamp = { czxid: 1n, mzxid: 1n, changedAt: changed, createdAt: changed };
    for (let version = 0; version < 1_003; version += 1)
      recorder.take({ kind: 'malformed', name, raw: '', error: 'none', version, ...stamp });
    release?.();
    await recorder.close();
    assert.deepEqual(kept, [0, ...Array.from({ length: 999 }, (_, index) => index + 4)]);
  });

  it('tries once more when it is closed, and says what it could not keep', async () => {
    const warned: string[] = [];
    const log = { warn: (_: object, message: string) => warned.push(message) };
    let away = true;
    const recorder = recordChanges(
      {
        keep: async (version) => {
          if (away) throw new Error('Postgres is away');
          await history.keep(version);
        },
      },
      log,
    );
    const switches = await opened(where);
    switches.subscribe((change) => recorder.take(change));
    await flip(where, 'on');
    await until(() => warned.length === 1, { what: 'it said that it could not' });
    away = false;
    await recorder.close();
    assert.equal((await versions()).length, 1);
    away = true;
    await flip(where, 'off');
    await until(() => switches.path().variant === 'legacy', { what: 'it saw the flip' });
    await switches.close();
    await recorder.close();
    assert.match(warned.at(-1) ?? '', /were not recorded: they show as a gap$/u);
  });

  it('keeps any text, also one that Postgres itself would refuse', async () => {
    await recording();
    await flip(where, 'on');
    await kept(1);
    await history.keep({
      ...(await versions())[0]!,
      mzxid: 2n ** 62n,
      raw: 'c\u0000rn 🌽 \ud83d "옥수수" \\u0000',
    });
    assert.equal((await versions())[0]?.raw, 'c\ufffdrn 🌽 \ufffd "옥수수" \\u0000');
    assert.equal((await versions())[0]?.mzxid, 2n ** 62n);
  });

  it('has a gap where nobody saw a version, or the znode was made anew', () => {
    const version = (number: number, czxid = 1n, createdAt = new Date(0)) =>
      ({ version: number, czxid, createdAt }) as SwitchVersion;
    const later = version(2, 1n, new Date(1));
    assert.deepEqual(withGaps([later, version(1)])[1], { unseen: { from: 0, to: 1 }, remade: true });
    const [v5, v4, v1, old] = [version(5, 9n), version(4, 9n), version(1, 9n), version(7)];
    assert.deepEqual(withGaps([v5, v4, v1, old]), [
      v5,
      v4,
      { unseen: { from: 2, to: 3 }, remade: false },
      v1,
      { unseen: { from: 0, to: 0 }, remade: true },
      old,
      { unseen: { from: 0, to: 6 }, remade: false },
    ]);
    assert.deepEqual(withGaps([version(0, 9n), old], { all: false }), [
      version(0, 9n),
      { unseen: undefined, remade: true },
      old,
    ]);
    assert.deepEqual(withGaps([]), []);
  });
});
