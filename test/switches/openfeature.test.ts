import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  type Client,
  ErrorCode,
  type EvaluationContext,
  type EventDetails,
  type JsonValue,
  OpenFeature,
  ProviderEvents,
  ProviderStatus,
} from '@openfeature/server-sdk';
import type { SwitchesOptions } from '../../src/switches/open.ts';
import { SwitchProvider } from '../../src/switches/openfeature.ts';
import { writeSwitch } from '../../src/switches/write.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { freshZookeeperRoot, temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { type Where, zkCli } from './opened.ts';

const template = { showImages: true, title: 'Check out these pics!', imagesPerPage: 100 };
const of = (variants: readonly [string, string], values: readonly [JsonValue, JsonValue]) => ({
  variants,
  by: 'sellerId',
  fallback: variants[0],
  values: { [variants[0]]: values[0] as string, [variants[1]]: values[1] as string },
});
const zeroes = ['zero', 'non-zero'] as const;

/** The flags that the scenarios of OpenFeature's specification expect (its test-flags.json), as switches. */
const registry = {
  'boolean-flag': of(['off', 'on'], [false, true]),
  'string-flag': of(['parting', 'greeting'], ['bye', 'hi']),
  'integer-flag': of(['one', 'ten'], [1, 10]),
  'float-flag': of(['tenth', 'half'], [0.1, 0.5]),
  'object-flag': of(['empty', 'template'], [{}, template]),
  'wrong-flag': of(['one', 'two'], ['uno', 'dos']),
  'boolean-zero-flag': of(zeroes, [false, true]),
  'string-zero-flag': of(zeroes, ['', 'str']),
  'integer-zero-flag': of(zeroes, [0, 1]),
  'float-zero-flag': of(zeroes, [0, 1.5]),
  'object-zero-flag': of(zeroes, [{}, { a: 1 }]),
  'boolean-targeted-zero-flag': of(zeroes, [false, true]),
  'string-targeted-zero-flag': of(zeroes, ['', 'str']),
  'integer-targeted-zero-flag': of(zeroes, [0, 1]),
  'float-targeted-zero-flag': of(zeroes, [0, 1.5]),
  'object-targeted-zero-flag': of(zeroes, [{}, { a: 1 }]),
  'context-aware': of(['external', 'internal'], ['EXTERNAL', 'INTERNAL']),
  'changing-flag': of(['foo', 'bar'], ['foo', 'bar']),
  'delay-notice-path': { variants: ['legacy', 'actors'], by: 'sellerId', fallback: 'legacy' },
  three: { variants: ['a', 'b', 'c'], by: 'sellerId', fallback: 'a' },
} as const satisfies SwitchesOptions['registry'];

const ballmer = 'ballmer@macrosoft.com';
const targeted = (variant: string, when: object) =>
  JSON.stringify({
    variants: { [variant]: 100 },
    segments: [{ when, variant: variant === 'external' ? 'internal' : variant }],
  });

/** What is written in ZooKeeper: each flag as the specification has it. */
const written: Partial<Record<keyof typeof registry, string>> = {
  'boolean-flag': 'on',
  'string-flag': 'greeting',
  'integer-flag': 'ten',
  'float-flag': 'half',
  'object-flag': 'template',
  'wrong-flag': 'one',
  ...Object.fromEntries(
    ['boolean', 'string', 'integer', 'float', 'object'].flatMap((type) => [
      [`${type}-zero-flag`, 'zero'],
      [`${type}-targeted-zero-flag`, targeted('zero', { email: [ballmer] })],
    ]),
  ),
  'context-aware': targeted('external', {
    email: [ballmer],
    role: ['admin'],
    age: ['65'],
    customer: ['false'],
  }),
  'changing-flag': 'foo',
};

type Type = 'Boolean' | 'String' | 'Number' | 'Object';

describe('the OpenFeature provider', function () {
  this.timeout(30_000);
  let where: Where;
  let client: Client;
  let proxy: Proxy;
  let number = 0;

  before(async () => {
    where = await freshZookeeperRoot();
    for (const [name, value] of Object.entries(written))
      await writeSwitch({ ...where, registry }, name, value);
  });

  beforeEach(async () => {
    const [host = '', port] = where.connect.split(':');
    assert.equal(host, '127.0.0.1');
    proxy = await proxyTo(Number(port));
  });

  afterEach(async () => {
    await OpenFeature.clearProviders();
    await proxy.close();
  });

  /** Sets a provider for a client of its own, and notes all its events. */
  function begin(options: Partial<SwitchesOptions> = {}) {
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const provider = new SwitchProvider({
      ...where,
      connect: proxy.address,
      registry,
      log,
      sessionTimeoutMs: 1_000,
      connectWaitMs: 10_000,
      ...options,
    });
    number += 1;
    const domain = `test-${number}`;
    client = OpenFeature.getClient(domain);
    const events: [ProviderEvents, EventDetails | undefined][] = [];
    for (const event of Object.values(ProviderEvents))
      client.addHandler(event, (details) => {
        events.push([event, details]);
      });
    const ready = OpenFeature.setProviderAndWait(domain, provider);
    const saw = (event: ProviderEvents) =>
      until(() => events.find(([name]) => name === event), { what: `${event} was told` });
    return { ready, events, saw, names: () => events.map(([name]) => name) };
  }

  async function details(type: Type, key: string, otherwise: unknown, context: EvaluationContext = {}) {
    if (type === 'Boolean') return client.getBooleanDetails(key, otherwise as boolean, context);
    if (type === 'String') return client.getStringDetails(key, otherwise as string, context);
    if (type === 'Number') return client.getNumberDetails(key, otherwise as number, context);
    return client.getObjectDetails(key, otherwise as JsonValue, context);
  }

  describe("runs the specification's evaluation scenarios:", () => {
    type Row = [type: Type, key: string, otherwise: unknown, value: unknown, variant?: string];

    const values: Row[] = [
      ['Boolean', 'boolean-flag', false, true, 'on'],
      ['String', 'string-flag', 'bye', 'hi', 'greeting'],
      ['Number', 'integer-flag', 1, 10, 'ten'],
      ['Number', 'float-flag', 0.1, 0.5, 'half'],
      ['Object', 'object-flag', {}, template, 'template'],
      ['Boolean', 'boolean-zero-flag', true, false, 'zero'],
      ['String', 'string-zero-flag', 'hi', '', 'zero'],
      ['Number', 'integer-zero-flag', 1, 0, 'zero'],
      ['Number', 'float-zero-flag', 0.1, 0, 'zero'],
      ['Object', 'object-zero-flag', { a: 1 }, {}, 'zero'],
    ];
    for (const [type, key, otherwise, value, variant] of values)
      it(`${key} has its value, key, variant and reason (1.3.1, 1.4.3 to 1.4.7)`, async () => {
        await begin().ready;
        const { flagMetadata, ...rest } = await details(type, key, otherwise);
        assert.deepEqual(rest, { flagKey: key, value, variant, reason: 'STATIC' });
        assert.deepEqual(flagMetadata, { version: 0 });
      });

    const targets: Row[] = [
      ['Boolean', 'boolean-targeted-zero-flag', true, false],
      ['String', 'string-targeted-zero-flag', 'hi', ''],
      ['Number', 'integer-targeted-zero-flag', 1, 0],
      ['Number', 'float-targeted-zero-flag', 0.1, 0],
      ['Object', 'object-targeted-zero-flag', { a: 1 }, {}],
    ];
    for (const [type, key, otherwise, value] of targets)
      it(`${key} tells whether a segment matched, another or no one, or a null (1.4.7)`, async () => {
        await begin().ready;
        const contexts: [EvaluationContext, string][] = [
          [{ email: ballmer }, 'TARGETING_MATCH'],
          [{ email: 'ballmer@none.com' }, 'DEFAULT'],
          [{}, 'DEFAULT'],
          [{ email: null }, 'DEFAULT'],
        ];
        for (const [context, reason] of contexts) {
          const got = await details(type, key, otherwise, context);
          assert.deepEqual([got.value, got.reason, got.errorCode], [value, reason, undefined]);
        }
      });

    it('context-aware matches on several attributes, texts, numbers and booleans', async () => {
      await begin().ready;
      const context = { email: ballmer, role: 'admin', age: 65, customer: false };
      const got = await details('String', 'context-aware', 'false', context);
      assert.deepEqual([got.value, got.reason], ['INTERNAL', 'TARGETING_MATCH']);
      assert.equal((await details('String', 'context-aware', 'false')).value, 'EXTERNAL');
    });

    const defaults: [Type, unknown][] = [
      ['Boolean', false],
      ['String', 'bye'],
      ['Number', 1],
      ['Number', 0.1],
      ['Object', { a: 1 }],
    ];
    it('an unknown key gives the default and FLAG_NOT_FOUND, with a message (1.4.8 to 1.4.10, 1.4.13)', async () => {
      await begin().ready;
      for (const [type, otherwise] of defaults) {
        const got = await details(type, 'missing-flag', otherwise);
        assert.deepEqual(
          [got.value, got.reason, got.errorCode],
          [otherwise, 'ERROR', ErrorCode.FLAG_NOT_FOUND],
        );
        assert.match(got.errorMessage ?? '', /"missing-flag" is not a registered switch; known are: /u);
      }
      assert.equal((await details('String', 'constructor', 'x')).errorCode, ErrorCode.FLAG_NOT_FOUND);
    });

    const mismatches: [Type, string, unknown][] = [
      ['Boolean', 'string-flag', false],
      ['Number', 'string-flag', 1],
      ['Object', 'string-flag', {}],
      ['Boolean', 'wrong-flag', false],
      ['Number', 'wrong-flag', 13],
      ['String', 'boolean-flag', 'bye'],
      ['Number', 'boolean-flag', 1],
      ['Boolean', 'integer-flag', false],
      ['String', 'integer-flag', 'fallback'],
      ['Boolean', 'float-flag', false],
      ['String', 'float-flag', 'fallback'],
      ['Boolean', 'object-flag', false],
      ['String', 'object-flag', 'fallback'],
      ['Number', 'object-flag', 1],
    ];
    for (const [type, key, otherwise] of mismatches)
      it(`${key} asked for as ${type} gives the default and TYPE_MISMATCH (1.3.4)`, async () => {
        await begin().ready;
        const got = await details(type, key, otherwise);
        assert.deepEqual(
          [got.value, got.reason, got.errorCode],
          [otherwise, 'ERROR', ErrorCode.TYPE_MISMATCH],
        );
      });

    it('a provider that is not ready gives the default and PROVIDER_NOT_READY (1.7.6)', async () => {
      proxy.silence();
      const { ready } = begin({ connectWaitMs: 500 });
      assert.equal(client.providerStatus, ProviderStatus.NOT_READY);
      for (const [type, otherwise] of defaults) {
        const got = await details(type, 'boolean-flag', otherwise);
        assert.deepEqual(
          [got.value, got.reason, got.errorCode],
          [otherwise, 'ERROR', ErrorCode.PROVIDER_NOT_READY],
        );
      }
      await assert.rejects(ready);
    });

    it('a provider that can never work is fatal, and gives the default (1.7.5, 1.7.7)', async () => {
      const { ready, saw } = begin({ registry: { wrong: { variants: ['one'], by: '', fallback: 'two' } } });
      await assert.rejects(ready, /can't be opened: switch "wrong": has 1 variants/u);
      await saw(ProviderEvents.Error);
      assert.equal(client.providerStatus, ProviderStatus.FATAL);
      const got = await details('Boolean', 'boolean-flag', false);
      assert.deepEqual([got.value, got.reason, got.errorCode], [false, 'ERROR', ErrorCode.PROVIDER_FATAL]);
    });

    it('does not change the context it is given (1.4.14)', async () => {
      await begin().ready;
      const context = { email: ballmer, targetingKey: 's-17' };
      const before = structuredClone(context);
      const got = await details('Boolean', 'boolean-targeted-zero-flag', true, context);
      assert.deepEqual(context, before);
      assert.ok(Object.isFrozen(got.flagMetadata));
    });
  });

  describe('has a life:', () => {
    it('is ready once all values are there', async () => {
      const { ready, saw, names } = begin();
      await ready;
      await saw(ProviderEvents.Ready);
      assert.equal(client.providerStatus, ProviderStatus.READY);
      assert.deepEqual(names(), [ProviderEvents.Ready]);
    });

    it('tells of a change by its name, and gives the new value', async () => {
      const { ready, saw, events } = begin();
      await ready;
      assert.equal(await client.getStringValue('changing-flag', 'unset'), 'foo');
      await zkCli(where, 'set', `${where.root}/switches/changing-flag`, 'bar');
      const [, told] = await saw(ProviderEvents.ConfigurationChanged);
      assert.deepEqual(told?.flagsChanged, ['changing-flag']);
      assert.equal(await client.getStringValue('changing-flag', 'unset'), 'bar');

      events.length = 0;
      await zkCli(where, 'set', `${where.root}/switches/changing-flag`, 'barr');
      await zkCli(where, 'delete', `${where.root}/switches/changing-flag`);
      await saw(ProviderEvents.ConfigurationChanged);
      const got = await client.getStringDetails('changing-flag', 'unset');
      assert.deepEqual([got.value, got.reason, got.flagMetadata], ['foo', 'DEFAULT', {}]);
      assert.equal(events.length, 1, 'the value that can not be used changed nothing');
    });

    it('is stale while ZooKeeper is away, with the last known values, and ready again', async () => {
      const { ready, saw, events } = begin();
      await ready;
      await saw(ProviderEvents.Ready);
      events.length = 0;
      proxy.cut();
      await saw(ProviderEvents.Stale);
      assert.equal(client.providerStatus, ProviderStatus.STALE);
      const got = await client.getBooleanDetails('boolean-flag', false);
      assert.deepEqual([got.value, got.reason], [true, 'STALE']);
      proxy.mend();
      await saw(ProviderEvents.Ready);
      assert.equal(client.providerStatus, ProviderStatus.READY);
      assert.equal((await client.getBooleanDetails('boolean-flag', false)).reason, 'STATIC');
    });

    it('is in error if ZooKeeper is away at the start and nothing is known, and then ready', async () => {
      proxy.cut();
      const { ready, saw } = begin({ connectWaitMs: 200 });
      await assert.rejects(ready, /ZooKeeper is away .* and nothing is known of its switches/u);
      await saw(ProviderEvents.Error);
      assert.equal(client.providerStatus, ProviderStatus.ERROR);
      const got = await client.getBooleanDetails('boolean-flag', false);
      assert.deepEqual([got.value, got.reason, got.errorCode], [false, 'ERROR', 'PROVIDER_NOT_READY']);
      proxy.mend();
      await saw(ProviderEvents.Ready);
      assert.equal(client.providerStatus, ProviderStatus.READY);
      assert.equal(await client.getBooleanValue('boolean-flag', false), true);
    });

    it('starts stale from a snapshot', async () => {
      const folder = temporaryFolder();
      try {
        const snapshotDir = join(folder.dir, 'switches');
        await begin({ snapshotDir }).ready;
        await OpenFeature.clearProviders();
        proxy.cut();
        const { ready, saw } = begin({ snapshotDir, connectWaitMs: 200 });
        await ready;
        await saw(ProviderEvents.Stale);
        assert.equal(client.providerStatus, ProviderStatus.STALE);
        const got = await client.getBooleanDetails('boolean-flag', false);
        assert.deepEqual([got.value, got.reason], [true, 'STALE']);
      } finally {
        folder.drop();
      }
    });

    it('leaves no connection behind when it is closed before it is ready', async () => {
      proxy.silence();
      const { ready } = begin({ connectWaitMs: 500 });
      await until(() => proxy.connections() > 0, { what: 'it connects' });
      await Promise.all([assert.rejects(ready), OpenFeature.clearProviders()]);
      await until(() => proxy.connections() === 0, { what: 'no connection was left' });
    });

    it('leaves no connection behind when it is closed', async () => {
      await begin().ready;
      assert.equal(proxy.connections(), 1);
      await OpenFeature.clearProviders();
      await until(() => proxy.connections() === 0, { what: 'no connection was left' });
    });
  });

  it('splits by what is registered, or by the targeting key where the context lacks that', async () => {
    await writeSwitch({ ...where, registry }, 'delay-notice-path', '26.59%');
    await begin().ready;
    for (const context of [
      { sellerId: 's-17' },
      { targetingKey: 's-17' },
      { sellerId: 's-17', targetingKey: 'x' },
    ]) {
      const got = await client.getStringDetails('delay-notice-path', 'none', context);
      assert.deepEqual([got.value, got.variant, got.reason], ['actors', 'actors', 'SPLIT']);
      assert.deepEqual(got.flagMetadata, { version: 0, bucket: 2658 });
    }
    const got = await client.getStringDetails('delay-notice-path', 'none');
    assert.deepEqual(
      [got.value, got.reason, got.errorCode],
      ['none', 'ERROR', ErrorCode.TARGETING_KEY_MISSING],
    );
  });

  it('gives a switch of two variants as a boolean too: the second is true', async () => {
    await begin().ready;
    assert.equal(await client.getBooleanValue('delay-notice-path', false, { sellerId: 's-17' }), true);
    assert.equal((await client.getBooleanDetails('three', true)).errorCode, ErrorCode.TYPE_MISMATCH);
    assert.equal(await client.getStringValue('three', 'none'), 'a');
  });

  it('gives the default for a switch whose value never made sense', async () => {
    await writeSwitch({ ...where, registry }, 'three', 'b');
    await zkCli(where, 'set', `${where.root}/switches/three`, 'bb');
    await begin().ready;
    const got = await client.getStringDetails('three', 'none');
    assert.deepEqual([got.value, got.errorCode], ['none', ErrorCode.PARSE_ERROR]);
  });
});
