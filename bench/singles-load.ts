// Posts notices of one order each at a given rate, whatever the answers do (open loop): what is late counts from the
// moment at which it should have been sent. A process of its own, so that the one that is measured shares no event loop.
import { createReadStream } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What the loader is told to do. */
export interface Load {
  address: string;
  /** One line for each notice: API key, a space, the order id. */
  file: string;
  newShipDate: string;
  perSecond: number;
  connections: number;
}

/** What came of it: for each notice that was accepted its id, when it was to be sent, and when the answer came, in ms since 1970. */
export interface Loaded {
  notices: [noticeId: string, dueAt: number, answeredAt: number][];
  /** How many were refused, by status. */
  refused: Record<string, number>;
}

process.once('message', (load: Load) => {
  void run(load).then((loaded) => {
    process.send?.(loaded, () => process.disconnect());
  });
});

async function run({ address, file, newShipDate, perSecond, connections }: Load): Promise<Loaded> {
  const { hostname, port, host } = new URL(address);
  const requests: string[] = [];
  for await (const line of createInterface(createReadStream(file))) {
    const [key = '', orderId = ''] = line.split(' ');
    const body = `{"reason":"WEATHER","newShipDate":"${newShipDate}","orderIds":["${orderId}"]}`;
    requests.push(
      `POST /v1/delay-notices HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${key}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  }
  const loaded: Loaded = { notices: [], refused: {} };
  let answered = 0;
  const sockets = Array.from({ length: connections }, () => connect(Number(port), hostname));
  await Promise.all(sockets.map((socket) => new Promise<void>((done) => socket.once('connect', done))));
  const begin = Date.now() + 50;
  return new Promise((resolve, reject) => {
    const due = new Map<Socket, number[]>(sockets.map((socket) => [socket, []]));
    for (const socket of sockets) {
      socket.setNoDelay(true);
      socket.on('error', reject);
      onAnswers(socket, (status, body) => {
        const dueAt = due.get(socket)?.shift() ?? Number.NaN;
        if (status === 202) {
          const at = body.indexOf('"noticeId":"') + 12;
          loaded.notices.push([body.slice(at, at + 36), dueAt, Date.now()]);
        } else loaded.refused[status] = (loaded.refused[status] ?? 0) + 1;
        answered += 1;
        if (answered < requests.length) return;
        for (const each of sockets) each.destroy();
        resolve(loaded);
      });
    }
    let sent = 0;
    const send = () => {
      const should = Math.min(requests.length, Math.floor(((Date.now() - begin) / 1_000) * perSecond));
      const texts = new Map<Socket, string[]>();
      for (; sent < should; sent += 1) {
        const socket = sockets[sent % sockets.length] as Socket;
        due.get(socket)?.push(begin + (sent / perSecond) * 1_000);
        const own = texts.get(socket) ?? [];
        if (own.length === 0) texts.set(socket, own);
        own.push(requests[sent] as string);
      }
      for (const [socket, own] of texts) socket.write(own.join(''));
      if (sent < requests.length) setTimeout(send, 1);
    };
    send();
  });
}

/** Reads answers off a connection on which requests are pipelined. */
function onAnswers(socket: Socket, onAnswer: (status: number, body: string) => void): void {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (data: string) => {
    rest += data;
    for (;;) {
      const end = rest.indexOf('\r\n\r\n');
      if (end === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, end))?.[1] ?? 0);
      const next = end + 4 + length;
      if (rest.length < next) return;
      onAnswer(Number(rest.slice(9, 12)), rest.slice(end + 4, next));
      rest = rest.slice(next);
    }
  });
}
