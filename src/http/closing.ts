import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { Problem } from './problem.ts';

export interface ClosingOptions {
  /** What a request that comes meanwhile is told to wait, in seconds. */
  retryAfterSeconds: number;
  /** After so long whatever is still open is cut, in ms. */
  closeWithinMs: number;
}

/** How long answers that are written may take to go out; imports, too, are broken off only then. In ms. */
const longestFlushMs = 2_500;
/** How often is looked whether all have, in ms. */
const lookMs = 20;

/**
 * Makes `close()` end soon, and politely.
 *
 * What comes while requests that are under way are waited for gets the problem `unavailable`, with `Retry-After`, on
 * every route. A connection is closed once its last answer has gone out, or at once if nothing ever came on it. Node
 * by itself closes what is idle when closing begins, and would wait for other clients until their connections time
 * out; a request of which only a part has come it would wait for without end. What is still under way after
 * `closeWithinMs` is cut, though it may be stored yet: then the sweep publishes it.
 */
export function closeSoon(app: FastifyInstance, { retryAfterSeconds, closeWithinMs }: ClosingOptions): void {
  const { server } = app;
  const open = new Set<Socket>();
  let refusal: Problem | undefined;
  let cutting: NodeJS.Timeout | undefined;
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  app.addHook('preClose', async () => {
    refusal = new Problem('unavailable', 'This process is being stopped, and takes no more requests.', {
      headers: { 'retry-after': String(retryAfterSeconds) },
    });
    server.keepAliveTimeout = 1; // to which Node adds a second
    cutting = setTimeout(() => server.closeAllConnections(), closeWithinMs);
    // What Node takes for idle it cuts, also where an answer hasn't been sent to its end. A download may go on for long.
    const until = performance.now() + Math.min(closeWithinMs / 2, longestFlushMs);
    while (hasUnsent(open) && performance.now() < until) await sleep(lookMs);
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
  });
  app.addHook('onRequest', (_request, _reply, done) => done(refusal));
  // Runs once the server has closed: of such hooks the last to be added comes first, and Fastify adds its own later.
  app.addHook('onClose', (_app, done) => {
    clearTimeout(cutting);
    done();
  });
}

function hasUnsent(sockets: Iterable<Socket>): boolean {
  for (const { writableLength } of sockets) if (writableLength > 0) return true;
  return false;
}
