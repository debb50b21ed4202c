import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { type Gateway, GatewayRefused, type SendResult } from '../../src/tms/gateway.ts';
import { httpGateway } from '../../src/tms/http.ts';
import type { Faults } from '../../src/tms/simulator/faults.ts';
import { gatewayAt, kinds, notification, notifications } from './makers.ts';
import { endLeftovers, type Simulator, startSimulator, temporaryFolder } from './startSimulator.ts';

/** What a call is expected to come to: results, or which error. */
type Expected =
  | 'unconfirmed'
  | 'refused'
  | { infrastructure: { retryAfterMs?: number; opensCircuit?: boolean } };

const away: Expected = { infrastructure: {} };

const cases: {
  when: string;
  faults: Faults;
  idempotent: Expected;
  plain: Expected;
  /** How many of the 3 notifications reach their customers all the same. */
  delivered?: number;
}[] = [
  {
    when: 'the connection is cut before the call is accepted',
    faults: { dropBefore: true },
    idempotent: away,
    plain: 'unconfirmed',
  },
  {
    when: 'the connection is cut after the call is accepted',
    faults: { dropAfter: true },
    idempotent: away,
    plain: 'unconfirmed',
    delivered: 3,
  },
  {
    when: 'no answer comes in time',
    faults: { hangMs: 60_000 },
    idempotent: away,
    plain: 'unconfirmed',
    delivered: 3,
  },
  { when: 'it answers 500', faults: { status: 500 }, idempotent: away, plain: 'unconfirmed' },
  {
    when: 'it answers 503 with Retry-After',
    faults: { status: 503, retryAfter: 3 },
    idempotent: { infrastructure: { retryAfterMs: 3_000 } },
    plain: 'unconfirmed',
  },
  {
    when: 'it answers 429 with Retry-After',
    faults: { status: 429, retryAfter: 7 },
    idempotent: { infrastructure: { retryAfterMs: 7_000 } },
    plain: { infrastructure: { retryAfterMs: 7_000 } },
  },
  {
    when: 'it answers 429 with a Retry-After beyond all bounds',
    faults: { status: 429, retryAfter: 86_400 },
    idempotent: { infrastructure: { retryAfterMs: 300_000 } },
    plain: { infrastructure: { retryAfterMs: 300_000 } },
  },
  ...[401, 403].map((status) => ({
    when: `it answers ${status}`,
    faults: { status },
    idempotent: { infrastructure: { opensCircuit: true } },
    plain: { infrastructure: { opensCircuit: true } },
  })),
  ...[400, 413].map((status) => ({
    when: `it answers ${status}`,
    faults: { status },
    idempotent: 'refused' as const,
    plain: 'refused' as const,
  })),
  ...[302, 404].map((status) => ({
    when: `it answers ${status}, which the contract does not know`,
    faults: { status },
    idempotent: { infrastructure: { opensCircuit: true } },
    plain: 'unconfirmed' as const,
  })),
];

describe('httpGateway', () => {
  const folder = temporaryFolder();
  let simulator: Simulator;
  let opened: Gateway[] = [];
  const open = (url: string, own: Parameters<typeof gatewayAt>[1]) => {
    const gateway = gatewayAt(url, own);
    opened.push(gateway);
    return gateway;
  };

  before(async () => {
    simulator = await startSimulator(folder.path);
  });
  afterEach(async () => {
    await Promise.all(opened.map((gateway) => gateway.close()));
    opened = [];
  });
  after(async () => {
    await simulator.stop();
    await endLeftovers();
    folder.remove();
  });

  for (const [kind, idempotentForMs] of Object.entries(kinds)) {
    describe(kind, () => {
      it('brings every notification to its customer, and answers in order', async () => {
        const account = simulator.account();
        const gateway = open(account.url, { idempotentForMs });
        const sent = notifications(100);
        const results = await gateway.send(sent);
        const deliveries = await account.deliveries();
        assert.deepEqual(
          deliveries.map(({ n: _n, at: _at, ...rest }) => rest),
          sent,
        );
        assert.deepEqual(
          results,
          deliveries.map(({ n }) => ({ status: 'delivered', gatewayId: `sim-${n}` })),
        );
      });

      for (const { when, faults, delivered = 0, ...expected } of cases) {
        const expects = idempotentForMs === undefined ? expected.plain : expected.idempotent;
        it(`${say(expects)} when ${when}`, async () => {
          const account = simulator.account();
          await account.faults(faults);
          const timeoutMs = faults.hangMs ? 1_500 : 5_000;
          const gateway = open(account.url, { idempotentForMs, timeoutMs });
          await assertOutcome(gateway.send(notifications(3)), expects, 3);
          const stats = await account.stats();
          assert.equal(stats.calls, 1, 'undici must not send a POST a second time');
          assert.equal(stats.delivered, delivered);
        });
      }

      it('throws when nobody listens: nothing was sent', async () => {
        const gateway = open(`http://127.0.0.1:${await freePort()}`, { idempotentForMs });
        await assertOutcome(gateway.send(notifications(1)), away, 1);
      });

      it('throws when the host is unknown: nothing was sent', async () => {
        // A label of more than 63 characters is refused by the resolver without asking the network.
        const gateway = open(`http://${'a'.repeat(64)}.invalid`, { idempotentForMs });
        await assertOutcome(gateway.send(notifications(1)), away, 1);
      });

      it('throws when it is closed: nothing was sent', async () => {
        const account = simulator.account();
        const gateway = gatewayAt(account.url, { idempotentForMs });
        await gateway.close();
        await assertOutcome(gateway.send(notifications(1)), away, 1);
        assert.equal((await account.stats()).calls, 0);
      });

      it('takes a new connection when the server has closed the idle one', async () => {
        const server = await answeringServer('closes');
        const gateway = open(server.url, { idempotentForMs });
        await gateway.send([notification(1)]);
        await server.closed;
        assert.deepEqual(await gateway.send([notification(2)]), [{ status: 'delivered', gatewayId: 'id-2' }]);
        assert.deepEqual(server.seen(), { calls: 2, connections: 2 });
        await server.close();
      });

      it('throws when the server closed the idle connection and is gone: nothing was sent', async () => {
        const server = await answeringServer('closes');
        const gateway = open(server.url, { idempotentForMs });
        await gateway.send([notification(1)]);
        await server.closed;
        await server.close();
        await assertOutcome(gateway.send([notification(2)]), away, 1);
      });

      it('does not claim that nothing was sent when a kept connection is cut while it writes', async () => {
        const server = await answeringServer('cuts the next call');
        const gateway = open(server.url, { idempotentForMs, connections: 1 });
        await gateway.send([notification(1)]);
        const expects = idempotentForMs === undefined ? 'unconfirmed' : away;
        await assertOutcome(gateway.send([notification(2)]), expects, 1);
        assert.deepEqual(server.seen(), { calls: 2, connections: 1 });
        await server.close();
      });

      for (const [what, body] of [
        ['is not JSON', '<html>it works</html>'],
        ['is cut', '{"results":[{"key":"notice-1:order-1","status":"deliv'],
        ['has no results', '{"ok":true}'],
        ['is null', 'null'],
      ] as const) {
        it(`knows no outcome when the answer ${what}`, async () => {
          const server = await fixedServer((response) => response.end(body));
          const gateway = open(server.url, { idempotentForMs });
          const expects = idempotentForMs === undefined ? 'unconfirmed' : away;
          await assertOutcome(gateway.send(notifications(2)), expects, 2);
          await server.close();
        });
      }

      it('knows no outcome when the connection ends in the middle of the answer', async () => {
        const server = await fixedServer((response) => {
          response.writeHead(200, { 'content-length': 1_000 });
          response.write('{"results":[', () => response.destroy());
        });
        const gateway = open(server.url, { idempotentForMs });
        const expects = idempotentForMs === undefined ? 'unconfirmed' : away;
        await assertOutcome(gateway.send(notifications(2)), expects, 2);
        await server.close();
      });

      it('gives up on an answer that trickles in forever', async () => {
        const server = await fixedServer((response) => {
          const trickle = setInterval(() => response.write(' '), 20);
          response.once('close', () => clearInterval(trickle));
        });
        const gateway = open(server.url, { idempotentForMs, timeoutMs: 150 });
        const expects = idempotentForMs === undefined ? 'unconfirmed' : away;
        await assertOutcome(gateway.send(notifications(2)), expects, 2);
        await server.close();
      });

      it('calls a result unconfirmed that is missing or has an unknown status', async () => {
        const results = [
          { key: 'notice-1:order-4', status: 'permanent', reason: 'wrong number' },
          { key: 'notice-1:order-3', status: 'queued' },
          null,
          { key: 'notice-1:order-1', status: 'delivered', id: 17 },
          { key: 'somebody-else', status: 'delivered', id: 18 },
        ];
        const server = await fixedServer((response) => response.end(JSON.stringify({ results })));
        const got = await open(server.url, { idempotentForMs }).send(notifications(4));
        assert.deepEqual(
          got.map(({ status }) => status),
          ['delivered', 'unconfirmed', 'unconfirmed', 'permanent'],
        );
        assert.deepEqual(got[0], { status: 'delivered', gatewayId: '17' });
        await server.close();
      });
    });
  }

  it('gives each recipient the result that is his', async () => {
    const account = simulator.account();
    const [one, two, three, wrong] = [notification(1), notification(2), notification(3), notification(4)];
    wrong.to = '+821000000000';
    await account.faults({
      recipients: { [two.to]: 'retriable', [three.to]: 'unconfirmed' },
      omitResults: { keys: [one.key] },
    });
    const results = await open(account.url, {}).send([one, two, three, wrong, notification(5)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['unconfirmed', 'retriable', 'unconfirmed', 'permanent', 'delivered'],
    );
  });

  it('sends its key, and a path of its own after that of the address', async () => {
    const seen: unknown[] = [];
    const server = await fixedServer((response, request) => {
      seen.push(request.method, request.url, request.headers.authorization, request.headers['content-type']);
      response.end('{"results":[]}');
    });
    await open(`${server.url}/sms/`, { apiKey: 'secret-1' }).send([notification(1)]);
    assert.deepEqual(seen, ['POST', '/sms/v1/notifications', 'Bearer secret-1', 'application/json']);
    await server.close();
  });

  it('tells the log of an unknown outcome, without phone numbers', async () => {
    const account = simulator.account();
    await account.faults({ status: 500 });
    const told: unknown[] = [];
    const log = { warn: (...words: unknown[]) => told.push(words) };
    await open(account.url, { log }).send(notifications(2));
    assert.equal(told.length, 1);
    assert.match(JSON.stringify(told), /"notifications":2.*answered 500/);
    assert.doesNotMatch(JSON.stringify(told), /\+82/);
  });

  it('quotes a refusal without the phone numbers in it', async () => {
    const server = await fixedServer((response) => {
      response.writeHead(400).end('bad recipient +821012345678, sorry');
    });
    await assert.rejects(open(server.url, {}).send([notification(1)]), (error: Error) => {
      assert.match(error.message, /400: bad recipient …, sorry/);
      return true;
    });
    await server.close();
  });

  it('refuses options that make no sense, all at once', () => {
    assert.throws(
      () =>
        httpGateway({ url: 'ftp://x', timeoutMs: 0, connections: 1.5, maxRecipients: -1, apiKey: 'a\nb' }),
      (error: Error) =>
        ['url', 'timeoutMs', 'connections', 'maxRecipients', 'apiKey'].every((name) =>
          error.message.includes(`${name}: expected`),
        ),
    );
  });

  it('makes no call for no notifications', async () => {
    const account = simulator.account();
    assert.deepEqual(await open(account.url, {}).send([]), []);
    assert.equal((await account.stats()).calls, 0);
  });
});

function say(expected: Expected): string {
  if (typeof expected === 'string')
    return expected === 'refused' ? 'throws GatewayRefused' : 'says unconfirmed';
  return `throws InfrastructureError${expected.infrastructure.opensCircuit ? ', which opens the circuit,' : ''}`;
}

async function assertOutcome(sent: Promise<SendResult[]>, expected: Expected, count: number): Promise<void> {
  if (expected === 'unconfirmed') {
    const results = await sent;
    assert.deepEqual(
      results.map(({ status }) => status),
      Array.from({ length: count }, () => 'unconfirmed'),
    );
    return;
  }
  if (expected === 'refused') {
    await assert.rejects(sent, GatewayRefused);
    return;
  }
  await assert.rejects(sent, (error) => {
    assert.ok(error instanceof InfrastructureError, String(error));
    assert.equal(error.retryAfterMs, expected.infrastructure.retryAfterMs);
    assert.equal(error.opensCircuit, expected.infrastructure.opensCircuit ?? false);
    return true;
  });
}

interface TestServer {
  url: string;
  close(): Promise<void>;
}

/** A server that answers every call as `answer` says, once it has the whole request. */
async function fixedServer(
  answer: (response: http.ServerResponse, request: http.IncomingMessage) => void,
): Promise<TestServer> {
  const server = http.createServer((request, response) => {
    request.resume().once('end', () => answer(response, request));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: addressOf(server),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/**
 * A server that delivers what comes. After its first answer it closes that connection, or cuts it when the next call
 * comes in on it. `closed` resolves when the client has closed the first connection, too.
 */
async function answeringServer(
  afterFirst: 'closes' | 'cuts the next call',
): Promise<TestServer & { closed: Promise<unknown>; seen(): { calls: number; connections: number } }> {
  let calls = 0;
  let connections = 0;
  let firstClosed: (value: unknown) => void;
  const closed = new Promise((resolve) => {
    firstClosed = resolve;
  });
  const server = http.createServer((request, response) => {
    calls++;
    if (calls === 2 && afterFirst === 'cuts the next call') {
      request.socket.resetAndDestroy();
      return;
    }
    const results = [{ key: `notice-1:order-${calls}`, status: 'delivered', id: `id-${calls}` }];
    request.resume().once('end', () => {
      response.end(JSON.stringify({ results }), () => {
        if (calls === 1 && afterFirst === 'closes') request.socket.end();
      });
    });
  });
  server.on('connection', (socket) => {
    connections++;
    if (connections === 1) socket.once('close', firstClosed);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: addressOf(server),
    closed,
    seen: () => ({ calls, connections }),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function addressOf(server: net.Server): string {
  return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
