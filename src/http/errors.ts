import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { InfrastructureError } from '../pipeline/errors.ts';
import { OperationRefused } from '../store/failureChoice.ts';
import { Problem, type ProblemType } from './problem.ts';

/** What Fastify says of requests before our routes see them, in the words of our problems. */
const fastifyErrors: Record<string, { type: ProblemType; detail: string }> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    type: 'unsupported-media-type',
    detail: 'Expected a body of Content-Type application/json.',
  },
  FST_ERR_CTP_BODY_TOO_LARGE: { type: 'body-too-large', detail: 'The body is larger than is read here.' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    type: 'invalid-request',
    detail: 'The body is not as long as its Content-Length says.',
  },
  FST_ERR_BAD_URL: { type: 'not-found', detail: 'The address cannot be decoded: check its percent signs.' },
};

/** How often a 503 of the same reason is logged, in ms: under too much load there may be thousands in a second. */
const sayAgainAfterMs = 1_000;

export type SendProblem = (error: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/**
 * Makes what answers with the problem document for whatever was thrown.
 *
 * Postgres out of reach is `unavailable`, with `Retry-After`. What is not foreseen is `internal-error`, which
 * tells the seller nothing of what happened; the log does, under the same id. Of those that are `unavailable` it has
 * the first of a second, and how many there were since the line before (`refused`).
 */
export function createSendProblem({ retryAfterSeconds }: { retryAfterSeconds: number }): SendProblem {
  const unavailable = new Map<string, { refused: number; saidAt: number }>();

  const say = (error: unknown, problem: Problem, { log, id: reqId, sellerId }: FastifyRequest) => {
    if (problem.status < 500) return log.info({ reqId, problem: problem.type, sellerId }, problem.message);
    if (problem.type !== 'unavailable') return log.error({ reqId, err: error, sellerId }, problem.message);
    const now = performance.now();
    const { refused, saidAt } = unavailable.get(problem.message) ?? { refused: 0, saidAt: -sayAgainAfterMs };
    const isDue = now - saidAt >= sayAgainAfterMs;
    unavailable.set(problem.message, isDue ? { refused: 0, saidAt: now } : { refused: refused + 1, saidAt });
    if (isDue) log.error({ reqId, err: error, sellerId, refused: refused + 1 }, problem.message);
  };

  return (error, request, reply) => {
    const problem = problemOf(error, retryAfterSeconds);
    say(error, problem, request);
    // Fastify would cut the connection, and a client that is still sending would never read the answer.
    if (problem.status < 500) reply.removeHeader('connection');
    return reply
      .code(problem.status)
      .headers(problem.headers)
      .type('application/problem+json')
      .send(JSON.stringify(problem.document(request.id)));
  };
}

function problemOf(error: unknown, retryAfterSeconds: number): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof InfrastructureError)
    return new Problem('unavailable', 'Our database cannot be reached right now.', {
      headers: {
        'retry-after': String(Math.ceil((error.retryAfterMs ?? retryAfterSeconds * 1_000) / 1_000)),
      },
      cause: error,
    });
  if (error instanceof OperationRefused) return new Problem('refused', error.message, { cause: error });
  const { code, statusCode, message } = error as Partial<FastifyError>;
  const known = fastifyErrors[code ?? ''];
  if (known !== undefined) return new Problem(known.type, known.detail, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new Problem('invalid-request', message ?? 'The request could not be read.', { cause: error });
  return new Problem('internal-error', 'The request could not be answered, through no fault of yours.', {
    cause: error,
  });
}
