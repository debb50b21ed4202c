import type { FastifyInstance } from 'fastify';
import { health } from './schemas.ts';

export interface HealthOptions {
  /** What must work for this process to be of use, by name; a check that rejects has failed. */
  checks: Record<string, () => Promise<void>>;
  /** How long one check may take, in ms; default 2,000. */
  timeoutMs?: number;
  /** All metrics in Prometheus's text format. */
  metrics: () => Promise<string>;
}

/** Adds `/health/live`, `/health/ready` and `/metrics`; none needs a key. */
export function healthRoutes(
  app: FastifyInstance,
  { checks, timeoutMs = 2_000, metrics }: HealthOptions,
): void {
  app.get(
    '/health/live',
    { schema: { summary: 'Whether the process is alive', response: { 200: health } } },
    () => ({ status: 'ok' }),
  );

  app.get(
    '/health/ready',
    {
      schema: {
        summary: 'Whether the process can do its work, and if not, what fails',
        response: { 200: health, 503: health },
      },
    },
    async (request, reply) => {
      const results = await Promise.all(
        Object.entries(checks).map(
          async ([name, check]) => [name, await resultOf(check, timeoutMs)] as const,
        ),
      );
      const failed = results.filter(([, result]) => result !== 'ok');
      if (failed.length > 0)
        request.log.warn({ reqId: request.id, failed: Object.fromEntries(failed) }, 'not ready');
      return reply.code(failed.length > 0 ? 503 : 200).send({
        status: failed.length > 0 ? 'unavailable' : 'ok',
        checks: Object.fromEntries(results),
      });
    },
  );

  app.get(
    '/metrics',
    { schema: { summary: 'Metrics for Prometheus', produces: ['text/plain'] } },
    async (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics()),
  );
}

async function resultOf(check: () => Promise<void>, timeoutMs: number): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${timeoutMs} ms`), timeoutMs);
  });
  try {
    return await Promise.race([check().then(() => 'ok'), late]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
}
