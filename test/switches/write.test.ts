import assert from 'node:assert/strict';
import { writeSwitch } from '../../src/switches/write.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { flip, registry, type Where, zkCli } from './opened.ts';

describe('writing a switch', () => {
  let where: Where;

  beforeEach(async () => {
    where = await freshZookeeperRoot();
  });

  it('makes the znode and its parents where they are missing', async () => {
    assert.deepEqual(await flip(where, '12.34%'), { version: 0, created: true });
    assert.deepEqual(await flip(where, 'on'), { version: 1, created: false });
    assert.match(await zkCli(where, 'get', `${where.root}/switches/delay-notice-path`), /^on$/mu);
  });

  it('can be done by several people at once', async () => {
    const written = await Promise.all(['on', 'off', 'on', '10%', '20%'].map((value) => flip(where, value)));
    assert.deepEqual(
      written.map(({ version }) => version).toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4],
    );
    assert.equal(written.filter(({ created }) => created).length, 1);
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
