import type { FastifyRequest } from 'fastify';
import { Problem } from '../problem.ts';

/** Tells who is at work; throws the problem `forbidden` for a reader. */
export function operatorAt(request: FastifyRequest): string {
  const { operator } = request;
  if (operator?.role === 'operator') return operator.name;
  throw new Problem('forbidden', `The key of ${operator?.name ?? 'nobody'} is for looking only.`);
}
