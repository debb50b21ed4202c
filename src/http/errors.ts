import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { InfrastructureError } from '../pipeline/errors.ts';
import { OperationRefused } from '../store/failureOperations.ts';
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

/**
 * Answers with the problem document for whatever was thrown.
 *
 * Postgres out of reach is `unavailable`, with `Retry-After`. What is not foreseen is `internal-error`, which
 * tells the seller nothing of what happened; the log does, under the same id.
 */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  retryAfterSeconds: number,
): FastifyReply {
  const problem = problemOf(error, retryAfterSeconds);
  if (problem.status >= 500) request.log.error({ err: error, sellerId: request.sellerId }, problem.message);
  else request.log.info({ problem: problem.type, sellerId: request.sellerId }, problem.message);
  // Fastify would cut the connection, and a client that is still sending would never read the answer.
  if (problem.status < 500) reply.removeHeader('connection');
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    .send(JSON.stringify(problem.document(request.id)));
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
