import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { until } from '../support/wait.ts';
import { type Api, aBody, countOf, requestTo, startApi, untilLocked } from './api.ts';

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

describe('An API that is closed', () => {
  const closeWithinMs = 4_000;
  let api: Api;
  let socket: Socket;
  beforeEach(async () => {
    api = await startApi({ closeWithinMs });
    const { port } = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }));
    socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
  });
  afterEach(async () => {
    socket.destroy();
    await api.close();
  });

  /** How long it takes to close, in ms. */
  const closing = async () => {
    const from = performance.now();
    await api.app.close();
    return performance.now() - from;
  };

  it('waits for nobody who has sent nothing yet', async () => {
    const took = await closing();
    assert(took < closeWithinMs / 2, `it took ${took} ms`);
  });

  it('waits no longer than it is told for who does not go on', async () => {
    const came = once(api.app.server, 'connection');
    const second = connect((api.app.server.address() as AddressInfo).port, '127.0.0.1');
    const [accepted] = (await came) as [Socket];
    second.on('error', () => undefined).write('POST /v1/delay-notices HTTP/1.1\r\nhost:');
    await until(() => accepted.bytesRead > 0, { what: 'half a request has come' });
    const took = await closing();
    assert(took > closeWithinMs - 100 && took < closeWithinMs * 2, `it took ${took} ms`);
  });

  it('sends answers to their end that have been written', async () => {
    const orderIds = Array.from({ length: 50_000 }, (_, at) => `an-order-with-a-long-name-${at}`);
    const body = JSON.stringify(aBody({ orderIds }));
    const finished = once(api.app.server, 'request').then(([, response]) =>
      once(response as ServerResponse, 'prefinish'),
    );
    socket.write(
      `POST /v1/delay-notices?dryRun=true HTTP/1.1\r\nhost: here\r\nauthorization: Bearer ${api.keys['s-1']}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (answer.length === data.length) socket.pause();
    });
    await finished;
    const closed = closing();
    await until(() => api.app.server.keepAliveTimeout === 1, { what: 'closing has begun' });
    const ended = once(socket, 'close');
    socket.resume();
    await Promise.all([closed, ended]);
    const length = Number(/content-length: (\d+)/i.exec(answer)?.[1]);
    assert(length > 1_000_000, `${length} bytes would not wait in the process`);
    assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4).length, length);
  });
});
