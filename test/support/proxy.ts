import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A wire to a server that can be cut, also at a chosen word, and that can go dead without one. */
export interface Proxy {
  /** `host:port` to connect to instead. */
  readonly address: string;
  /** The URL of a server on this machine, by way of this wire. */
  over(url: string): string;
  /** How many connections there are. */
  connections(): number;
  /** Closes all connections. New ones are taken, or refused until `mend`. */
  cut(): void;
  /** Breaks the connection that next sends `bytes`, which don't arrive; resolves when it has. New ones are taken. */
  cutBefore(bytes: Buffer): Promise<void>;
  /** Likewise the one on which the server next sends `bytes`: they arrive, and `last` in the same packet. */
  cutAfter(bytes: Buffer, last: Buffer): Promise<void>;
  /** From now on nothing that is sent arrives, though connections stay open and new ones are taken. */
  silence(): void;
  /** All is well again, and what was to be cut is not. */
  mend(): void;
  close(): Promise<void>;
}

/** Makes a proxy to a server on this machine. */
export async function proxyTo(port: number): Promise<Proxy> {
  let state: 'fine' | 'cut' | 'silent' = 'fine';
  const never = () => undefined;
  /** Whether a packet to the server is one to break off before. */
  let cutsBefore: (sent: Buffer) => true | undefined = never;
  /** What to say last after a packet from the server, if it is one to break off after. */
  let cutsAfter: (answered: Buffer) => Buffer | undefined = never;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    open.add(near);
    near.on('error', () => near.destroy());
    near.on('close', () => open.delete(near));
    if (state === 'cut') near.destroy();
    else if (state === 'silent') near.resume();
    else join(near, connect(port, '127.0.0.1'));
  });
  function join(near: Socket, far: Socket): void {
    far.on('error', () => near.destroy());
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
    near.on('data', (bytes) => {
      if (state !== 'fine') return;
      if (cutsBefore(bytes)) near.resetAndDestroy();
      else far.write(bytes);
    });
    far.on('data', (bytes) => {
      if (state !== 'fine') return;
      const last = cutsAfter(bytes);
      if (last) near.end(Buffer.concat([bytes, last]));
      else near.write(bytes);
    });
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    state = 'cut';
    for (const socket of open) socket.destroy();
  };
  return {
    address,
    over: (url) => url.replace(/127\.0\.0\.1:\d+/, address),
    connections: () => open.size,
    cut,
    cutBefore: (bytes) =>
      new Promise((resolve) => {
        cutsBefore = (sent) => {
          if (!sent.includes(bytes)) return undefined;
          cutsBefore = never;
          resolve();
          return true;
        };
      }),
    cutAfter: (bytes, last) =>
      new Promise((resolve) => {
        cutsAfter = (answered) => {
          if (!answered.includes(bytes)) return undefined;
          cutsAfter = never;
          resolve();
          return last;
        };
      }),
    silence: () => {
      state = 'silent';
    },
    mend: () => {
      state = 'fine';
      cutsBefore = never;
      cutsAfter = never;
    },
    close: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
