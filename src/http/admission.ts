import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problem.ts';

export interface AdmissionOptions {
  /** So many requests may be under way at once. */
  maxRequests: number;
  /** So many bytes may their bodies have, all together. */
  maxBytes: number;
  /** What is reckoned for a body whose length nobody told. */
  bodyLimit: number;
  /** What a request that isn't let in is told to wait, in seconds. */
  retryAfterSeconds: number;
}

/**
 * Makes the hook that lets no more requests in than there is room for in memory, before anything is looked up for them
 * and before their bodies are read: what is refused must cost next to nothing.
 *
 * Those beyond get the problem `unavailable`, with `Retry-After`: nothing of them was read or stored.
 */
export function createAdmission(
  options: AdmissionOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const { maxRequests, maxBytes, bodyLimit, retryAfterSeconds } = options;
  let requests = 0;
  let bytes = 0;
  // One for all: under too much load there may be thousands in a second, and each stack takes time to write.
  const refusal = new Problem('unavailable', 'There are more requests under way than there is room for.', {
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
  return async (request, reply) => {
    const size = Math.min(Number(request.headers['content-length'] ?? bodyLimit), bodyLimit);
    // One that is alone is let in, however large.
    if (requests > 0 && (requests >= maxRequests || bytes + size > maxBytes)) throw refusal;
    requests += 1;
    bytes += size;
    // Also where the connection breaks before there was an answer.
    reply.raw.once('close', () => {
      requests -= 1;
      bytes -= size;
    });
  };
}
