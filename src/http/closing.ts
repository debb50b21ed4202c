import type { FastifyInstance } from 'fastify';
import { Problem } from './problem.ts';

/** How often connections are looked for that have become idle while the server closes, in ms. */
const lookMs = 50;

/**
 * Makes `close()` end soon, and politely.
 *
 * What comes while requests that are under way are waited for gets the problem `unavailable`, with `Retry-After`, on
 * every route. A connection whose last answer was given is closed: Node closes those only that are idle when closing
 * begins, and would wait for a client that keeps its connection until that times out.
 */
export function closeSoon(app: FastifyInstance, { retryAfterSeconds }: { retryAfterSeconds: number }): void {
  let refusal: Problem | undefined;
  let looking: NodeJS.Timeout | undefined;
  app.addHook('preClose', (done) => {
    refusal = new Problem('unavailable', 'This process is being stopped, and takes no more requests.', {
      headers: { 'retry-after': String(retryAfterSeconds) },
    });
    looking = setInterval(() => app.server.closeIdleConnections(), lookMs);
    done();
  });
  app.addHook('onRequest', (_request, _reply, done) => done(refusal));
  // Runs once the server has closed: of such hooks the last to be added comes first, and Fastify adds its own later.
  app.addHook('onClose', (_app, done) => {
    clearInterval(looking);
    done();
  });
}
