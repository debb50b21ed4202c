import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A wire to a server that can be cut and that can go dead without a word. */
export interface Proxy {
  /** `host:port` to connect to instead. */
  readonly address: string;
  /** How many connections there are. */
  connections(): number;
  /** Closes all connections. New ones are taken, or refused until `mend`. */
  cut(): void;
  /** From now on nothing that is sent arrives, though connections stay open and new ones are taken. */
  silence(): void;
  mend(): void;
  close(): Promise<void>;
}

/** Makes a proxy to a server on this machine. */
export async function proxyTo(port: number): Promise<Proxy> {
  let state: 'fine' | 'cut' | 'silent' = 'fine';
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
    near.on('data', (bytes) => state === 'fine' && far.write(bytes));
    far.on('data', (bytes) => state === 'fine' && near.write(bytes));
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    state = 'cut';
    for (const socket of open) socket.destroy();
  };
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => open.size,
    cut,
    silence: () => {
      state = 'silent';
    },
    mend: () => {
      state = 'fine';
    },
    close: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
