import assert from 'node:assert/strict';
import { openSwitches } from '../../src/switches/open.ts';
import { freshZookeeperRoot } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { flip, follower, opened, registry, type Where, zkCli } from './opened.ts';

type Opened = Awaited<ReturnType<typeof opened>>;

describe('the switches of a running process', () => {
  let where: Where;
  let znode: string;
  let closing: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    where = await freshZookeeperRoot();
    znode = `${where.root}/switches/delay-notice-path`;
  });

  afterEach(async () => {
    await Promise.all(closing.map((close) => close()));
    closing = [];
  });

  async function open(options: Parameters<typeof opened>[1] = {}): Promise<Opened> {
    const switches = await opened(where, options);
    closing.push(() => switches.close());
    return switches;
  }

  it('are the fallbacks while there are no znodes, whose parents are made', async () => {
    const switches = await open();
    assert.deepEqual(switches.path(), {
      value: 'legacy',
      variant: 'legacy',
      reason: 'DEFAULT',
      version: null,
    });
    assert.equal(switches.status().connected, true);
    assert.match(await zkCli(where, 'ls', where.root), /\[switches\]/u);
  });

  it('are there when it opens', async () => {
    await flip(where, 'on');
    const switches = await open();
    assert.deepEqual(switches.path(), { value: 'actors', variant: 'actors', reason: 'STATIC', version: 0 });
  });

  it('follow plain zkCli at once, in every form that has to be quoted there', async () => {
    const switches = await open();
    await zkCli(where, 'create', znode, 'on');
    await seen(switches, 'actors', 'STATIC');
    await zkCli(where, 'set', znode, '26.58%');
    await seen(switches, 'legacy', 'SPLIT');
    await zkCli(where, 'set', znode, 'legacy=70 shadow=30');
    await seen(switches, 'legacy', 'SPLIT');
    const segments = [{ when: { sellerId: ['s-17'] }, variant: 'shadow' }];
    await zkCli(where, 'set', znode, JSON.stringify({ variants: { legacy: 100 }, segments }));
    await seen(switches, 'shadow', 'TARGETING_MATCH');
    await zkCli(where, 'set', znode, 'off');
    await seen(switches, 'legacy', 'STATIC');
    assert.equal(switches.path().version, 4);
  });

  it('follow zkCli in two processes at once', async () => {
    const followers = await Promise.all([follower(where), follower(where)]);
    closing.push(...followers.map((each) => () => each.end()));
    for (const [value, variant] of [
      ['on', 'actors'],
      ['shadow', 'shadow'],
      ['off', 'legacy'],
    ] as const) {
      if (value === 'on') await zkCli(where, 'create', znode, value);
      else await zkCli(where, 'set', znode, value);
      const all = () =>
        followers.every((each) => each.last()?.kind === 'value' && each.last()?.variant === variant);
      await until(all, { timeoutMs: 1_000, what: `both processes gave ${variant}` });
    }
  });

  it('fall back when their znode is deleted, and follow it when it comes back', async () => {
    await flip(where, 'on');
    const switches = await open();
    await zkCli(where, 'delete', znode);
    await seen(switches, 'legacy', 'DEFAULT');
    await flip(where, 'shadow');
    await seen(switches, 'shadow', 'STATIC');
    await zkCli(where, 'deleteall', where.root);
    await seen(switches, 'legacy', 'DEFAULT');
    await flip(where, 'on');
    await seen(switches, 'actors', 'STATIC');
    const kinds = switches.changes.filter(
      (change) => 'name' in change && change.name === 'delay-notice-path',
    );
    assert.deepEqual(
      kinds.map(({ kind }) => kind),
      ['value', 'absent', 'value', 'absent', 'value'],
    );
  });

  it('keep the last good value when a malformed one comes, and say so once', async () => {
    await flip(where, 'on');
    const switches = await open();
    await zkCli(where, 'set', znode, '101%');
    await until(() => switches.changes.some(({ kind }) => kind === 'malformed'), { what: 'it was told' });
    assert.deepEqual(switches.path(), { value: 'actors', variant: 'actors', reason: 'STATIC', version: 0 });

    const { raw, version, applied, error } = switches.status().switches['delay-notice-path'];
    assert.deepEqual([raw, version, applied?.version], ['101%', 1, 0]);
    assert.match(error ?? '', /^"101%" is no percentage; expected a number/u);
    assert.match(errors(switches).join(), /"101%" is no percentage.*; version 0 stays in use$/u);

    await flip(where, 'shadow');
    await seen(switches, 'shadow', 'STATIC');
    assert.equal(switches.status().switches['delay-notice-path'].error, null);
    assert.equal(switches.changes.filter(({ kind }) => kind === 'malformed').length, 1);
    assert.equal(errors(switches).length, 1);
  });

  it('are the fallback, with an error, while there has only been a malformed value', async () => {
    await flip(where, 'on');
    await zkCli(where, 'set', znode, 'legacy=70');
    const switches = await open();
    const { variant, reason, errorMessage } = switches.path();
    assert.deepEqual([variant, reason], ['legacy', 'ERROR']);
    assert.match(errorMessage ?? '', /add up to 70; expected 100 \(in zkCli, put/u);
  });

  it('name the znodes that no switch is registered for', async () => {
    const switches = await open();
    await zkCli(where, 'create', `${where.root}/switches/delay-notice-paht`, 'on');
    await until(() => switches.status().unregistered.length > 0, { what: 'the misspelt znode was named' });
    assert.deepEqual(switches.status().unregistered, ['delay-notice-paht']);
    assert.match(switches.logged.join(), /warn: no switch of this process is called delay-notice-paht/u);
  });

  it('are followed once somebody with the right to do so makes their parent', async () => {
    await zkCli(where, 'create', where.root, '', 'world:anyone:ra');
    const switches = await open();
    assert.equal(switches.status().connected, true);
    assert.match(switches.logged.join(), /warn: .* is missing and can't be made; waiting for it/u);
    await zkCli(where, 'setAcl', where.root, 'world:anyone:cdrwa');
    await flip(where, 'on');
    await seen(switches, 'actors', 'STATIC');
  });

  it('are followed once they may be read', async () => {
    await flip(where, 'on');
    await zkCli(where, 'setAcl', znode, 'world:anyone:wa');
    const switches = await open();
    assert.equal(switches.path().reason, 'ERROR');
    assert.match(switches.status().switches['delay-notice-path'].error ?? '', /can't be read: .*NO_AUTH/u);
    await zkCli(where, 'setAcl', znode, 'world:anyone:rwa');
    await seen(switches, 'actors', 'STATIC');
  });

  it('go on when whoever listens to changes throws', async () => {
    const switches = await open({ onChange: () => assert.fail('I always throw') });
    await flip(where, 'on');
    await seen(switches, 'actors', 'STATIC');
    assert.match(errors(switches).join(), /onChange threw/u);
  });

  it('never throw, even for a switch that is not registered', async () => {
    const switches = await open();
    // @ts-expect-error: the type knows the names
    const { variant, reason, errorMessage } = switches.evaluate('dealy', {});
    assert.deepEqual([variant, reason], ['', 'ERROR']);
    assert.equal(errorMessage, '"dealy" is not a registered switch; known are: delay-notice-path, other');
  });

  it('are refused, all mistakes at once, where the registry makes no sense', async () => {
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const wrong = { a: { ...registry.other, fallback: 'x' }, b: { ...registry.other, by: '' } };
    await assert.rejects(
      openSwitches({ ...where, registry: wrong, log }),
      /switch "a": fallback.*; switch "b": "by"/u,
    );
    await assert.rejects(
      openSwitches({ ...where, root: 'chodang', registry, log }),
      /expected an absolute path/u,
    );
    await assert.rejects(
      openSwitches({ ...where, connect: ' ', registry, log }),
      /names no ZooKeeper server/u,
    );
    for (const connect of [
      'localhost:abc',
      '127.0.0.1:99999',
      '127.0.0.1:0',
      'a b:2181',
      '127.0.0.1:2181,x:y',
    ])
      await assert.rejects(
        openSwitches({ ...where, connect, registry, log }),
        /is no address of a ZooKeeper server/u,
      );
    await assert.rejects(
      openSwitches({ ...where, connect: '127.0.0.1:1/a/', registry, log }),
      /can't be a chroot/u,
    );
  });
});

const errors = ({ logged }: Opened) => logged.filter((line) => line.startsWith('error'));

async function seen(switches: Opened, variant: string, reason: string): Promise<void> {
  const matches = () => switches.path().variant === variant && switches.path().reason === reason;
  await until(matches, { timeoutMs: 1_000, what: `${variant} was given as ${reason}` });
}
