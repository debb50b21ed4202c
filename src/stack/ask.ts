import { connect } from 'node:net';

/** Sends `question` to a loopback port and gives the first bytes of the answer; throws if none comes within 1 s. */
export async function ask(port: number, question: string | Uint8Array): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`Port ${port} hung up`)));
      socket.setTimeout(1_000, () => reject(new Error(`Port ${port} did not answer within 1 s`)));
      socket.once('data', resolve);
      socket.once('connect', () => socket.write(question));
    });
  } finally {
    socket.destroy();
  }
}

/** Tells whether an HTTP server on a loopback port answers `GET path` at all, with any status below 500. */
export async function answersHttp(port: number, path: string): Promise<boolean> {
  const answer = await ask(port, `GET ${path} HTTP/1.0\r\n\r\n`);
  return /^HTTP\/1\.\d [1-4]/.test(answer.toString('latin1'));
}
