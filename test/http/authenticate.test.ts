import assert from 'node:assert/strict';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createAuthenticate } from '../../src/http/authenticate.ts';

describe('Authentication', () => {
  let now: number;
  let lookups: string[];
  const sellers = new Map([
    ['key-1', 's-1'],
    ['key-2', 's-2'],
    ['key-3', 's-3'],
  ]);
  beforeEach(() => {
    now = 0;
    lookups = [];
  });
  const make = () =>
    createAuthenticate({
      holderOf: async (key) => {
        lookups.push(key);
        return sellers.get(key);
      },
      welcome: (request, sellerId) => {
        request.sellerId = sellerId;
      },
      now: () => new Date(now),
      cacheMs: 10_000,
      maxCached: 2,
    });
  const ask = async (authenticate: ReturnType<typeof make>, key: string) => {
    const request = {
      headers: { authorization: `Bearer ${key}` },
      sellerId: '',
    } as unknown as FastifyRequest;
    await new Promise<void>((resolve, reject) => {
      authenticate.call({} as FastifyInstance, request, {} as FastifyReply, (error?: Error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
    return request.sellerId;
  };

  it('looks a key up once in ten seconds', async () => {
    const authenticate = make();
    assert.equal(await ask(authenticate, 'key-1'), 's-1');
    now = 9_999;
    assert.equal(await ask(authenticate, 'key-1'), 's-1');
    assert.equal(lookups.length, 1);
    now = 10_000;
    assert.equal(await ask(authenticate, 'key-1'), 's-1');
    assert.equal(lookups.length, 2);
  });

  it('never remembers a wrong key', async () => {
    const authenticate = make();
    await assert.rejects(ask(authenticate, 'wrong'), { name: 'Problem', status: 401 });
    sellers.set('wrong', 's-4');
    assert.equal(await ask(authenticate, 'wrong'), 's-4');
    sellers.delete('wrong');
  });

  it('forgets the key that was looked up longest ago when it knows too many', async () => {
    const authenticate = make();
    for (const key of ['key-1', 'key-2', 'key-1', 'key-3', 'key-2', 'key-1']) await ask(authenticate, key);
    assert.deepEqual(lookups, ['key-1', 'key-2', 'key-3', 'key-1']);
  });
});
