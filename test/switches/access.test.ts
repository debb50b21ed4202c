import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSwitches } from '../../src/switches/open.ts';
import { proxyTo } from '../support/proxy.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { flip, opened, registry, type Where, zkCli } from './opened.ts';

/** The id of a user in an ACL, as ZooKeeper's DigestAuthenticationProvider makes it. */
const digestOf = (credentials: string) =>
  `digest:${credentials.split(':')[0]}:${createHash('sha1').update(credentials).digest('base64')}`;

const editor = 'editor:sweet corn';
const reader = 'reader:raw';
const acl = `${digestOf(editor)}:cdrwa,${digestOf(reader)}:r`;

describe('access to the switches', () => {
  let where: Where;
  let closing: (() => Promise<unknown>)[] = [];
  beforeEach(async () => {
    where = await freshZookeeperRoot();
    await flip({ ...where, auth: editor, acl }, '30%');
  });
  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
  });
  async function open(as: { auth?: string }, at = where) {
    const switches = await opened(at, { ...as, connectWaitMs: as.auth ? 5_000 : 500 });
    closing.push(() => switches.close());
    return switches;
  }
  const path = () => `${where.root}/switches/delay-notice-path`;

  it('lets the editor write, also with plain zkCli and addauth', async () => {
    await flip({ ...where, auth: editor }, 'on');
    const switches = await open({ auth: reader });
    assert.deepEqual([switches.path().variant, switches.path().reason], ['actors', 'STATIC']);
    await assert.rejects(
      zkCli(where, 'set', path(), 'off'),
      /NoAuth|Insufficient permission|Authentication is not valid/iu,
    );
  });

  for (const [who, auth] of [
    ['a reader', reader],
    ['somebody with a wrong password', 'editor:popcorn'],
  ] as const)
    it(`refuses the write of ${who}, and says what to do`, async () => {
      await assert.rejects(flip({ ...where, auth }, 'on'), {
        message: new RegExp(
          auth === reader
            ? `ZooKeeper does not let "reader" write ${path()}; set CHODANG_ZOOKEEPER_AUTH`
            : `ZooKeeper does not let "editor" read ${path()}; set CHODANG_ZOOKEEPER_AUTH`,
        ),
      });
      const switches = await open({ auth: reader });
      assert.equal(switches.path().reason, 'SPLIT');
    });

  it('shows nobody else anything: the fallback applies, and status says why', async () => {
    const switches = await open({});
    assert.equal(switches.path().variant, 'legacy');
    assert.ok(!switches.status().connected || switches.status().switches['delay-notice-path'].error);
  });

  it('has its rights again in a new session', async () => {
    const [host = '', port = ''] = where.connect.split(':');
    assert.equal(host, '127.0.0.1');
    const proxy = await proxyTo(Number(port));
    closing.push(() => proxy.close());
    const switches = await open({ auth: reader }, { ...where, connect: proxy.address });
    for (const value of ['on', 'off', 'on']) {
      proxy.cut();
      await until(() => !switches.status().connected, { what: 'it is away' });
      await sleep(2_000); // the session of 1 s expires meanwhile
      proxy.mend();
      await flip({ ...where, auth: editor }, value);
      const variant = value === 'on' ? 'actors' : 'legacy';
      await until(() => switches.path().variant === variant && switches.path().reason === 'STATIC', {
        what: `${variant} was given`,
      });
    }
  }).timeout(20_000);

  it('gives everything it makes the rights it was told to', async () => {
    for (const made of [where.root, `${where.root}/switches`, path()])
      await assert.rejects(zkCli(where, 'set', made, 'x'), made);
  });

  it('refuses rights that make no sense, before it connects', async () => {
    for (const wrong of ['world:anyone', 'world:anyone:x', 'r', ','])
      await assert.rejects(
        openSwitches({ ...where, registry, acl: wrong, log: console }),
        /is no right in ZooKeeper; expected scheme:id:permissions, such as world:anyone:r/u,
      );
  });
});
