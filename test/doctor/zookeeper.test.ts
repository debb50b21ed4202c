import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { writeSwitch } from '../../src/switches/write.ts';
import { connectTo } from '../../src/switches/zookeeper.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { found, says, theCheck, troubles } from './patient.ts';

const name = 'delay-notice-path';
const digestOf = (credentials: string) =>
  `digest:${credentials.split(':')[0]}:${createHash('sha1').update(credentials).digest('base64')}`;
const editor = 'editor:sweet corn';
const reader = 'reader:raw';
const acl = `${digestOf(editor)}:cdrwa,${digestOf(reader)}:r`;

describe('the doctor on ZooKeeper', () => {
  let settings: Config;
  let path: string;
  beforeEach(async () => {
    const { connect, root } = await freshZookeeperRoot();
    // Nothing but a ZooKeeper: the other parts are left out.
    settings = loadConfig({ env: {} });
    Object.assign(settings.zookeeper, { connect, root });
    path = `${root}/switches`;
  });
  const look = (environment?: string) => found(settings, 'zookeeper', environment);
  const write = (value: string) =>
    writeSwitch({ ...settings.zookeeper, registry: settings.switches }, name, value);
  /** Makes or replaces a znode below the switches, whatever it says. */
  async function put(znode: string, value: string) {
    const connection = await connectTo(settings.zookeeper.connect, 6_000);
    if (!(await connection.create(`${path}/${znode}`, Buffer.from(value))))
      await connection.write(`${path}/${znode}`, Buffer.from(value));
    await connection.close();
  }

  it('says which server answers, and that nothing is there yet', async () => {
    const checks = await look();
    says(checks, `server ${settings.zookeeper.connect}`, 'ok', /^ZooKeeper 3\.\d+\.\d+, standalone$/);
    says(
      checks,
      'switches',
      'warn',
      /every switch has its fallback \(delay-notice-path: actors\)/,
      /switch history NAME/,
    );
  });

  it('shows what each switch says', async () => {
    await write('25%');
    const checks = await look();
    assert.deepEqual(troubles(checks), []);
    says(checks, `switch ${name}`, 'ok', /^25% → legacy 75 %, actors 25 % by sellerId \(version 0, 20/);
  });

  it('finds a value that can not be used, and a znode that no switch is registered for', async () => {
    await write('on');
    await put(name, 'onn');
    await put('delay-notice-pth', 'off');
    const checks = await look();
    says(
      checks,
      `switch ${name}`,
      'wrong',
      /^onn can't be used: .*version 1/,
      /"chodang switch set delay-notice-path VALUE"/,
    );
    says(checks, 'switch delay-notice-pth', 'warn', /no effect/, /delete \/.*\/switches\/delay-notice-pth/);
  });

  it('takes a switch that is not set for well', async () => {
    await write('on');
    await put('another', 'on');
    settings.switches = {
      another: { variants: ['off', 'on'], by: 'sellerId', fallback: 'off' },
      third: { variants: ['off', 'on'], by: 'sellerId', fallback: 'on' },
    };
    const checks = await look();
    says(checks, 'switch third', 'ok', /^not set: on \(the fallback\)$/);
  });

  it('warns in production of switches that everyone may flip', async () => {
    await write('on');
    says(await look('test'), 'rights', 'ok', /everyone may do everything .* fine for CHODANG_ENV=test/);
    const checks = await look('production');
    says(
      checks,
      `rights of ${path}/${name}`,
      'warn',
      /^world:anyone:cdrwa: whoever reaches ZooKeeper/,
      /setAcl/,
    );
    says(checks, `rights of ${path}`, 'warn', /world:anyone/);
  });

  it('is content with the rights that are configured, for whoever looks', async () => {
    Object.assign(settings.zookeeper, { acl, auth: editor });
    await write('on');
    for (const auth of [editor, reader]) {
      settings.zookeeper.auth = auth;
      const checks = await look('production');
      assert.deepEqual(troubles(checks), []);
      says(checks, 'rights', 'ok', /^as zookeeper\.acl says: digest:editor:…:cdrwa, digest:reader:…:r$/);
    }
  });

  it('finds znodes that have other rights than configured', async () => {
    await write('on');
    Object.assign(settings.zookeeper, { acl, auth: editor });
    const checks = await look();
    const rights = theCheck(checks, `rights of ${path}/${name}`);
    assert(rights.status === 'wrong');
    assert.equal(rights.found, 'world:anyone:cdrwa');
    assert.equal(rights.expected, 'digest:editor:…:cdrwa, digest:reader:…:r (zookeeper.acl)');
    assert.match(rights.remedy, /setAcl/);
    assert(!JSON.stringify(checks).includes(digestOf(editor)), 'a hash was told');
  });

  it('finds that we may not read', async () => {
    Object.assign(settings.zookeeper, { acl, auth: editor });
    await write('on');
    settings.zookeeper.auth = 'editor:popcorn';
    const checks = await look();
    says(checks, 'access', 'wrong', /does not let "editor" read below/, /CHODANG_ZOOKEEPER_AUTH/);
    assert.doesNotMatch(JSON.stringify(checks), /popcorn/);
  });

  it('finds rights that make no sense', async () => {
    await write('on');
    settings.zookeeper.acl = 'world:anyone';
    says(await look(), 'rights', 'wrong', /is no right in ZooKeeper/, /CHODANG_ZOOKEEPER_ACL/);
  });

  it('only warns of one server that is away while another answers', async () => {
    await write('on');
    settings.zookeeper.connect = `127.0.0.1:1,${settings.zookeeper.connect}`;
    const checks = await look();
    says(checks, 'server 127.0.0.1:1', 'warn', /ECONNREFUSED/, /bring this server back/);
    says(checks, `switch ${name}`, 'ok', /^on/);
  });
});
