import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { type DryRunOptions, dryRun } from './dry-run.ts';
import type { AcceptedNotice, Intake } from './intake.ts';
import { invalidRequest } from './problem.ts';
import {
  acceptedNotice,
  dryRunVerdicts,
  noticeBody,
  noticeHeaders,
  noticeQuery,
  problemResponses,
} from './schemas.ts';

export interface NoticeRouteOptions extends DryRunOptions {
  intake: Intake;
  /** Orders in one notice, at most. */
  maxOrders: number;
}

/** Adds `POST /v1/delay-notices`, with its dry run. The seller must be known by then. */
export function noticeRoutes(app: FastifyInstance, options: NoticeRouteOptions): void {
  app.withTypeProvider<TypeBoxTypeProvider>().post(
    '/v1/delay-notices',
    {
      schema: {
        summary: 'Post a delay notice',
        description:
          '202: the notice is stored, and every order of it will settle. With dryRun=true, 200: what would become of each order, and nothing is stored.',
        security: [{ apiKey: [] }],
        querystring: noticeQuery,
        headers: noticeHeaders,
        body: noticeBody(options.maxOrders),
        response: {
          200: dryRunVerdicts,
          202: acceptedNotice,
          ...problemResponses(400, 401, 409, 413, 415, 422, 500, 503),
        },
      },
    },
    async (request, reply) => {
      const { sellerId, body, headers } = request;
      const { reason, newShipDate, orderIds } = body;
      const detail = body.detail?.trim() === '' ? undefined : body.detail;
      if (reason === 'ETC' && detail === undefined)
        throw invalidRequest([
          {
            pointer: '#/detail',
            expected: 'a text that tells the reason, because reason is ETC',
            got: 'nothing',
          },
        ]);
      if (request.query.dryRun === true) return dryRun(options, { sellerId, newShipDate, orderIds });
      const { noticeId, path, orders, duplicates } = await options.intake.accept({
        sellerId,
        reason,
        detail,
        newShipDate,
        orderIds,
        idempotencyKey: headers['idempotency-key'],
        traceparent: traceparentOf(request.headers['traceparent']),
      });
      reply.code(202);
      return { noticeId, path, orders, duplicates, links: linksOf({ noticeId }) };
    },
  );
}

/** Tells where a notice is looked at. */
export function linksOf({ noticeId }: Pick<AcceptedNotice, 'noticeId'>) {
  const self = `/v1/delay-notices/${noticeId}`;
  return { self, orders: `${self}/orders` };
}

/** Reads a trace context; one that isn't well-formed must be ignored (W3C Trace Context, 3.2). */
export function traceparentOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(header)
    ? header
    : undefined;
}
