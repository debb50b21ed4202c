// Posts notices at a given rate, whatever the answers do (open loop), as wrk2 does: one request at a time on each of so many
// connections, and what finds none free waits here. What is late counts from the moment at which it was due. A process
// of its own, so that the one that is measured shares no event loop.
import { connect, type Socket } from 'node:net';

/** What the loader is told to do. */
export interface Load {
  address: string;
  /** Of the sellers, to whom the orders were dealt out in turn. */
  apiKeys: string[];
  /** The orders are `<prefix>-0` and so on. */
  prefix: string;
  /** Notices, in all. */
  count: number;
  /** In each notice; default 1. */
  orders?: number;
  newShipDate: string;
  perSecond: number;
  /** So many connections; default 1,000. */
  connections?: number;
  /** Whether what was refused is posted again, when `Retry-After` says so; default: it is. */
  again?: boolean;
}

/** What came of it. */
export interface Loaded {
  /** For each notice its id, when it was to be sent, and when the answer came, in ms since 1970. */
  notices: [noticeId: string, dueAt: number, answeredAt: number][];
  firstDueAt: number;
  /** How often one was refused with 503; posted again, it counts from when it was due first. */
  refused: number;
}

interface Notice {
  /** Its number, from 0. */
  at: number;
  dueAt: number;
  /** For what was refused. */
  notBefore?: number;
}

process.once('message', (load: Load) => {
  void run(load).then((loaded) => {
    process.send?.(loaded, () => process.disconnect());
  });
});

async function run(load: Load): Promise<Loaded> {
  const { count, perSecond, connections = 1_000, again: isAgain = true } = load;
  const { host, hostname, port } = new URL(load.address);
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect(Number(port), hostname).setNoDelay(true);
      await new Promise<void>((done, failed) => socket.once('connect', done).once('error', failed));
      return socket;
    }),
  );
  // In turn: Node cuts a connection on which nothing comes for a minute.
  const free = new Set(sockets);
  const begin = Date.now() + 50;
  const loaded: Loaded = { notices: [], firstDueAt: begin, refused: 0 };
  /** What was refused, in the order in which it may come again. */
  const again: Notice[] = [];
  let sent = 0;
  const isOver = () => loaded.notices.length + (isAgain ? 0 : loaded.refused) >= count;

  /** What is to be sent now, if anything is. */
  const next = (now: number): Notice | undefined => {
    const [first] = again;
    if (first?.notBefore !== undefined && first.notBefore <= now) return again.shift();
    const dueAt = begin + (sent / perSecond) * 1_000;
    return sent < count && dueAt <= now ? { at: sent++, dueAt } : undefined;
  };

  return new Promise((resolve, reject) => {
    const asked = new Map<Socket, Notice>();
    const send = () => {
      const now = Date.now();
      for (const socket of free) {
        const notice = next(now);
        if (notice === undefined) return;
        free.delete(socket);
        asked.set(socket, notice);
        socket.write(requestOf(load, host, notice.at), 'latin1');
      }
    };
    const timer = setInterval(send, 1);
    for (const socket of sockets) {
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('a connection to Chodang was cut')));
      onAnswers(socket, (status, head, body) => {
        const notice = asked.get(socket);
        if (notice === undefined) return reject(new Error('an answer came without a request'));
        asked.delete(socket);
        free.add(socket);
        if (status === 503) {
          const wait = /\r\nretry-after: (\d+)/i.exec(head)?.[1];
          if (wait === undefined) return reject(new Error('a 503 came without Retry-After'));
          loaded.refused += 1;
          if (isAgain) again.push({ ...notice, notBefore: Date.now() + Number(wait) * 1_000 });
        } else if (status === 202) {
          const at = body.indexOf('"noticeId":"') + 12;
          loaded.notices.push([body.slice(at, at + 36), notice.dueAt, Date.now()]);
        } else return reject(new Error(`expected 202, got ${status}: ${body}`));
        if (!isOver()) return;
        clearInterval(timer);
        for (const each of sockets) each.removeAllListeners('close').destroy();
        resolve(loaded);
      });
    }
  });
}

function requestOf({ apiKeys, prefix, orders = 1, newShipDate }: Load, host: string, at: number): string {
  const sellers = apiKeys.length;
  const seller = at % sellers;
  const first = ((at - seller) / sellers) * orders; // of this seller's
  const ids = Array.from({ length: orders }, (_, i) => `"${prefix}-${(first + i) * sellers + seller}"`);
  const body = `{"reason":"WEATHER","newShipDate":"${newShipDate}","orderIds":[${ids.join(',')}]}`;
  return (
    `POST /v1/delay-notices HTTP/1.1\r\nHost: ${host}\r\n` +
    `Authorization: Bearer ${apiKeys[seller]}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}

/** Reads answers off a connection. */
function onAnswers(socket: Socket, onAnswer: (status: number, head: string, body: string) => void): void {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (data: string) => {
    rest += data;
    for (;;) {
      const end = rest.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = rest.slice(0, end);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const next = end + 4 + length;
      if (rest.length < next) return;
      onAnswer(Number(head.slice(9, 12)), head, rest.slice(end + 4, next));
      rest = rest.slice(next);
    }
  });
}
