import assert from 'node:assert/strict';
import { readSwitch, SwitchChangedError, writeSwitch } from '../../src/switches/write.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { flip, registry, type Where, zkCli } from './opened.ts';

describe('writing a switch', () => {
  let where: Where;

  beforeEach(async () => {
    where = await freshZookeeperRoot();
  });

  it('makes the znode and its parents where they are missing', async () => {
    const first = await flip(where, '12.34%');
    assert.deepEqual(
      [first.now.raw, first.now.version, first.before, first.changed],
      ['12.34%', 0, null, true],
    );
    assert.equal(first.now.mzxid, first.now.czxid);
    const second = await flip(where, ' on\n');
    assert.deepEqual(second.before, first.now);
    assert.deepEqual([second.now.raw, second.now.version, second.now.czxid], ['on', 1, first.now.czxid]);
    assert.ok(second.now.mzxid > first.now.mzxid);
    assert.deepEqual(await readSwitch({ ...where, registry }, 'delay-notice-path'), second.now);
    assert.match(await zkCli(where, 'get', `${where.root}/switches/delay-notice-path`), /^on$/mu);
  });

  it('writes nothing where the switch has that very value', async () => {
    const first = await flip(where, '25%');
    assert.deepEqual(await flip(where, ' 25% '), { now: first.now, before: first.now, changed: false });
  });

  for (const start of ['where there is none', 'where there is one'])
    it(`is told to all but one of those who do it at once, ${start}`, async () => {
      const before = start === 'where there is one' ? (await flip(where, 'shadow')).now.version : null;
      const outcomes = await Promise.allSettled(
        ['1%', '2%', '3%', '4%', '5%'].map((value) => flip(where, value, { ifVersion: before })),
      );
      const done = outcomes.filter((outcome) => outcome.status === 'fulfilled');
      assert.equal(done.length, 1);
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue;
        assert.ok(outcome.reason instanceof SwitchChangedError, String(outcome.reason));
        assert.match(
          outcome.reason.message,
          /^somebody else has changed delay-notice-path: .*Nothing was written/u,
        );
      }
      const now = await readSwitch({ ...where, registry }, 'delay-notice-path');
      assert.deepEqual(now, done[0]?.value.now);
    });

  it('never overwrites what came between reading and writing, however many there are', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, at) => flip(where, `${at + 1}%`)),
    );
    const versions = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value.now.version] : [],
    );
    assert.deepEqual(
      versions.toSorted((a, b) => a - b),
      [...versions.keys()],
      'each version once, none missing',
    );
    assert.equal(
      (await readSwitch({ ...where, registry }, 'delay-notice-path'))?.version,
      versions.length - 1,
    );
  });

  it('says what is there instead of the version that was expected', async () => {
    await assert.rejects(flip(where, 'on', { ifVersion: 3 }), {
      message: /expected version 3, it has no value. Nothing was written/u,
    });
    await flip(where, '30%');
    await assert.rejects(flip(where, 'on', { ifVersion: null }), {
      message: /expected no value, it has version 0, 30%. Nothing was written/u,
    });
  });

  it('is refused, before anything is written, where it makes no sense', async () => {
    await assert.rejects(flip(where, 'legacy=70'), { name: 'SwitchValueError', message: /add up to 70/u });
    await assert.rejects(
      writeSwitch({ ...where, registry }, 'dealy', 'on'),
      /"dealy" is not a registered switch/u,
    );
    await assert.rejects(flip({ ...where, root: 'x' }, 'on'), /expected an absolute path/u);
    await assert.rejects(zkCli(where, 'ls', where.root));
  });

  it('says so when no server can be reached', async () => {
    await assert.rejects(flip({ ...where, connect: '127.0.0.1:1,127.0.0.1:2' }, 'on'), {
      message:
        /can't be reached \(127\.0\.0\.1:1: connect ECONNREFUSED.*; 127\.0\.0\.1:2: .*\); nothing was written/u,
    });
  });
});
