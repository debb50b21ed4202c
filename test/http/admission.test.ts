import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect, Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Admission, createAdmission } from '../../src/http/admission.ts';
import { Problem } from '../../src/http/problem.ts';
import { until } from '../support/wait.ts';
import { type Api, aBody, aMoment, countOf, get, post, requestTo, startApi, untilLocked } from './api.ts';

describe('Admission', () => {
  const limits = {
    maxRequests: 3,
    smallBytes: 15,
    bodyLimit: 80,
    bodyIdleMs: 2 ** 31 - 1,
    retryAfterSeconds: 7,
  };
  const make = () => createAdmission({ ...limits, maxBytes: 100 });
  const requestOf = (length?: number) =>
    ({
      headers: length === undefined ? {} : { 'content-length': String(length) },
      raw: { socket: new Socket() },
    }) as FastifyRequest;
  const replyTo = (raw = new EventEmitter()) => ({ raw }) as unknown as FastifyReply;
  /** Comes with a body of so many bytes, or of a length that nobody told; gives what ends it. */
  async function come(admission: Admission, length?: number): Promise<() => void> {
    const raw = new EventEmitter();
    const refusal = admission.enter(requestOf(length), replyTo(raw));
    if (refusal) throw refusal;
    return () => raw.emit('close');
  }
  const isRefused = (error: unknown) =>
    error instanceof Problem && error.type === 'unavailable' && error.headers['retry-after'] === '7';

  it('lets so many in at once, and another one when one has ended', async () => {
    const admit = make();
    const [end] = await Promise.all([come(admit, 1), come(admit, 1), come(admit, 1)]);
    await assert.rejects(come(admit, 1), isRefused);
    end?.();
    await come(admit, 1);
    await assert.rejects(come(admit, 1), isRefused);
  });

  it('lets large bodies of so many bytes in, whatever their number', async () => {
    const admit = make();
    const end = await come(admit, 60);
    await assert.rejects(come(admit, 41), isRefused);
    await come(admit, 40);
    end();
    await come(admit, 60);
  });

  it('reckons with a quarter of all where the length is not told, and never more than is read', async () => {
    const admit = make();
    const end = await come(admit);
    await assert.rejects(come(admit, 76), isRefused);
    await come(admit, 20);
    end();
    await come(admit, 1_000_000);
  });

  it('lets a large one in that is the only one, however large', async () => {
    const admit = createAdmission({ ...limits, maxBytes: 10 });
    await come(admit, 15);
    await come(admit, 80);
    await assert.rejects(come(admit, 16), isRefused);
  });

  it('lets small ones in while there is no room for large ones', async () => {
    const admit = make();
    await come(admit, 80);
    await assert.rejects(come(admit, 80), isRefused);
    await come(admit, 15);
    await come(admit, 15);
    await assert.rejects(come(admit, 15), isRefused, 'there are three');
  });

  it('takes no room for who only looks, and refuses him where there is none', async () => {
    const admission = make();
    for (let time = 0; time < 10; time += 1)
      assert.equal(admission.look(requestOf(80), replyTo()), undefined);
    await Promise.all([come(admission, 60), come(admission, 40)]);
    assert(isRefused(admission.look(requestOf(16), replyTo())));
  });

  it('answers 503 with Retry-After while there is no room, and takes the next notice when there is', async () => {
    const api = await startApi({ maxRequests: 1 });
    const locking = api.store.newClient();
    await locking.connect();
    try {
      await locking.query('begin; lock table notices in share mode');
      const stranger = await post(api, aBody(), { headers: { authorization: 'Bearer nobody' } });
      assert.equal(stranger.status, 401, 'strangers take no room');
      const first = post(api, aBody());
      await untilLocked(api, 'the first one is under way');
      const second = await post(api, aBody());
      assert.deepEqual([second.status, second.headers['retry-after']], [503, '5']);
      // Before a key is looked up: a stranger's request is refused likewise, and is an occurrence of its own.
      const third = await post(api, aBody(), { headers: { authorization: 'Bearer nobody' } });
      assert.equal(third.status, 503);
      const [one, other] = [second, third].map(({ body }) => (body as { instance: string }).instance);
      assert.notEqual(one, other);
      assert.equal((await get(api, '/v1/delay-notices')).status, 200);
      await locking.query('rollback');
      assert.equal((await first).status, 202);
      assert.equal((await post(api, aBody())).status, 202);
      assert.equal(await countOf(api.store, 'notices'), 2);
    } finally {
      await locking.end();
      await api.close();
    }
  });

  describe('of connections that break', () => {
    let api: Api;
    let locking: ReturnType<Api['store']['newClient']>;
    let port: number;

    beforeEach(async () => {
      api = await startApi({ maxRequests: 2 });
      port = Number(new URL(await api.app.listen({ host: '127.0.0.1', port: 0 })).port);
      locking = api.store.newClient();
      await locking.connect();
    });
    afterEach(async () => {
      await locking.end();
      await api.close();
    });

    /** That two notices may be under way at once. */
    const hasAllItsRoom = async () => {
      await locking.query('begin; lock table notices in share mode');
      const both = [post(api, aBody()), post(api, aBody())];
      await untilLocked(api, 'they are under way');
      await locking.query('rollback');
      assert.deepEqual(
        (await Promise.all(both)).map(({ status }) => status),
        [202, 202],
      );
    };

    it('gives back the room of those whose turn to be answered had not come', async () => {
      await locking.query('begin; lock table notices in share mode');
      const socket = connect(port, '127.0.0.1');
      let came = 0;
      api.app.server.on('request', () => {
        came += 1;
      });
      socket.write(requestTo(api).repeat(2));
      await until(() => came === 2, { what: 'both have come' });
      await untilLocked(api, 'they are under way');
      socket.destroy();
      await aMoment();
      await locking.query('rollback');
      await until(async () => (await countOf(api.store, 'notices')) === 2, { what: 'both are stored' });
      await hasAllItsRoom();
    });

    it('takes no room for one that broke while its key was looked up', async () => {
      await locking.query('begin; lock table api_keys in access exclusive mode');
      const sockets = Array.from({ length: 2 }, () => connect(port, '127.0.0.1'));
      for (const socket of sockets) socket.write(requestTo(api));
      await untilLocked(api, 'their key is looked up');
      for (const socket of sockets) socket.destroy();
      await aMoment();
      await locking.query('rollback');
      await aMoment();
      await hasAllItsRoom();
    });
  });

  describe('of senders that fall silent', () => {
    it('gives their room back, and leaves alone who goes on sending or waits for an answer', async () => {
      const api = await startApi({ maxRequests: 3, bodyIdleMs: 1_000 });
      const locking = api.store.newClient();
      await locking.connect();
      const { port } = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }));
      const dial = () => connect(Number(port), '127.0.0.1').on('error', () => undefined);
      const [silent, slow, patient] = [dial(), dial(), dial()];
      try {
        await post(api, aBody()); // so that the key is known
        await locking.query('begin; lock table notices in share mode');
        patient.write(requestTo(api));
        await untilLocked(api, 'one waits for its answer');
        const text = requestTo(api);
        const head = text.indexOf('\r\n\r\n') + 5;
        let came = 0;
        api.app.server.on('request', () => {
          came += 1;
        });
        silent.write(text.slice(0, head));
        slow.write(text.slice(0, head));
        await until(() => came === 2, { what: 'the others are under way' });
        assert.equal((await post(api, aBody())).status, 503, 'there is no room');
        const cut = once(silent.resume(), 'close');
        let sent = head;
        while (!silent.destroyed && sent < text.length - 1) {
          slow.write(text.slice(sent, sent + 1));
          sent += 1;
          await aMoment();
        }
        await cut;
        const next = post(api, aBody());
        assert.equal(slow.destroyed || patient.destroyed, false);
        let answers = '';
        for (const socket of [slow, patient])
          socket.on('data', (data) => {
            answers += data.toString();
          });
        slow.write(text.slice(sent));
        await locking.query('rollback');
        assert.equal((await next).status, 202);
        await until(() => answers.match(/ 202 /g)?.length === 2, { what: 'the others are answered' });
      } finally {
        for (const socket of [silent, slow, patient]) socket.destroy();
        await locking.end();
        await api.close();
      }
    });
  });

  describe('of requests that do not wait for answers', () => {
    let api: Api;
    let locking: ReturnType<Api['store']['newClient']>;
    let socket: Socket;
    let answers: string;
    const statuses = () => [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);

    beforeEach('a notice is under way, and takes all the room there is', async () => {
      api = await startApi({ maxRequests: 1 });
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
      await untilLocked(api, 'it waits for the lock');
    });
    afterEach(async () => {
      socket.destroy();
      await locking.end();
      await api.close();
    });

    it('reads no more, and answers everything in the end', async () => {
      let came = 0;
      api.app.server.on('request', () => {
        came += 1;
      });
      for (let time = 0; time < 10; time += 1) {
        socket.write(requestTo(api));
        await aMoment();
      }
      assert(came <= 2, `${came} more requests were read`);
      await locking.query('rollback');
      await until(() => statuses().length === 11, { what: 'all have an answer' });
      const [first, second, ...others] = statuses();
      assert.deepEqual([first, second], ['202', '503']);
      assert(others.every((status) => status === '202' || status === '503'));
    });

    it('cuts off who has sent very many at once; what was let in is stored', async () => {
      const closed = once(socket, 'close');
      socket.write(requestTo(api).repeat(100));
      await closed;
      assert.deepEqual(statuses(), []);
      await locking.query('rollback');
      await until(async () => (await countOf(api.store, 'notices')) === 1, { what: 'it is stored' });
    });
  });
});
