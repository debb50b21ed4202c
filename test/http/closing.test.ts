import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from '../support/wait.ts';
import { type Api, countOf, requestTo, startApi, untilLocked } from './api.ts';

describe('An API that is closed while a notice is under way', () => {
  let api: Api;
  let locking: ReturnType<Api['store']['newClient']>;
  let socket: Socket;
  let answers: string;
  let closed: Promise<unknown>;

  beforeEach(async () => {
    api = await startApi();
    const { port } = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }));
    locking = api.store.newClient();
    await locking.connect();
    await locking.query('begin; lock table notices in share mode');
    socket = connect(Number(port), '127.0.0.1');
    answers = '';
    socket.on('data', (data) => {
      answers += data.toString();
    });
    socket.write(requestTo(api));
    await untilLocked(api, 'a notice is under way');
    closed = api.app.close();
  });
  afterEach(async () => {
    socket.destroy();
    await locking.end();
    await api.close();
  });

  it('answers it, and does not wait for the client to close its connection', async () => {
    const cut = once(socket, 'close');
    await locking.query('rollback');
    const from = performance.now();
    await Promise.all([closed, cut]);
    const took = performance.now() - from;
    assert(took < 3_000, `expected an end at once, it took ${took} ms`);
    assert.match(answers, /^HTTP\/1\.1 202 /);
    assert.equal(await countOf(api.store, 'notices'), 1);
  });

  it('refuses what comes meanwhile, with Retry-After', async () => {
    const came = once(api.app.server, 'request');
    socket.write(requestTo(api)); // behind the first, on the same connection: new ones are not taken
    await came;
    await locking.query('rollback');
    await closed;
    await until(() => answers.includes('503'), { what: 'both are answered' });
    const [accepted, refused] = answers.split(/(?<=\})(?=HTTP)/);
    assert.match(accepted ?? '', /^HTTP\/1\.1 202 /);
    assert.match(refused ?? '', /^HTTP\/1\.1 503 /);
    for (const header of [
      /^retry-after: 5\r$/im,
      /^connection: close\r$/im,
      /^content-type: application\/problem\+json/im,
    ])
      assert.match(refused ?? '', header);
    assert.match(refused ?? '', /"type":"\/problems\/unavailable"/);
    assert.equal(await countOf(api.store, 'notices'), 1);
  });
});
