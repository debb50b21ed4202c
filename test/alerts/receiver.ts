import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Alert, AlertKind, Bundle } from '../../src/store/alerts.ts';

export const quiet = pino({ level: 'silent' });

/** A request as it came to the receiver. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** ms, of a clock that is never set. */
  at: number;
}

/** What a receiver does with a request; it has been read and kept by then. */
export type Answer = (response: ServerResponse, received: Received) => void;

/** Answers with a status. */
export const status =
  (code: number, headers: Record<string, string> = {}, body = ''): Answer =>
  (response) => {
    response.writeHead(code, headers).end(body);
  };

/** A real HTTP server that stands for a webhook: down at first if it is told so, always on the same port. */
export async function aReceiver({ down = false } = {}) {
  const received: Received[] = [];
  const receiver = {
    received,
    url: '',
    answer: status(200),
    up: async () => {
      await listen(port);
    },
    close: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      const came = { path, headers, body: Buffer.concat(chunks).toString(), at: performance.now() };
      received.push(came);
      receiver.answer(response, came);
    });
  });
  const listen = async (on: number) => {
    server.listen(on, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  receiver.url = `http://127.0.0.1:${port}/services/T00/B00/secret-path`;
  if (down) await receiver.close();
  return receiver;
}

export const anAlert = (parts: Partial<Alert> = {}): Alert => ({
  kind: 'group new',
  subject: 'group 12',
  detail: { groupId: '12', step: 'tms', errorClass: 'TypeError', message: 'broken', open: 1 },
  ...parts,
});

/** New groups with these numbers. */
export const newGroups = (count: number, from = 1): Alert[] =>
  Array.from({ length: count }, (_, n) => {
    const groupId = String(n + from);
    return anAlert({ subject: `group ${groupId}`, detail: { groupId, step: 'tms', open: 1 } });
  });

/** A bundle as it comes out of the store. */
export const aBundle = (alerts: Alert[]): Bundle => ({
  bundleId: '01890a5d-ac96-774b-bcce-b302099a8057',
  at: new Date('2026-11-27T03:00:00Z'),
  alerts: alerts.map((alert, n) => ({
    ...alert,
    alertId: String(n + 1),
    at: new Date('2026-11-27T02:59:55Z'),
  })),
});

export const kindsOf = (alerts: { kind: AlertKind }[]) => alerts.map(({ kind }) => kind);

/** Some time for what must not happen to happen; nothing waits for it. */
export const aWhile = (ms = 300) => sleep(ms);
