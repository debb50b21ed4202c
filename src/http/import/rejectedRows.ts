import type { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type RejectedRow, rejectedRowsOf } from '../../store/imports.ts';
import { hasNotice } from '../../store/notices.ts';
import type { Sql } from '../../store/store.ts';
import { prefersCsv } from '../accept.ts';
import { keyOfCursor, pageOf } from '../cursor.ts';
import { type Download, sendCsv } from '../download.ts';
import { noSuchNotice, uuid } from '../outcomes.ts';
import * as schemas from '../schemas.ts';

/** Adds `GET /v1/delay-notices/{id}/rejected-rows`. The seller must be known by then. */
export function rejectedRowRoutes(
  app: FastifyInstance,
  { store, downloadIdleMs }: { store: Sql; downloadIdleMs: number },
): void {
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    '/v1/delay-notices/:id/rejected-rows',
    {
      schema: {
        summary: "The rows of an imported file that can't be used",
        description:
          'By line, one page at a time, also while the file comes in; the first 100,000, the notice counts all. With Accept: text/csv all of them, streamed, from cursor on.',
        security: [{ apiKey: [] }],
        produces: ['application/json', 'text/csv'],
        params: schemas.noticeParams,
        querystring: schemas.rejectedRowsQuery,
        response: {
          200: {
            description: 'One page as JSON, or all as CSV',
            content: {
              'application/json': { schema: schemas.rejectedRowsPage },
              'text/csv': { schema: Type.Unsafe<Readable>({ type: 'string' }) },
            },
          },
          ...schemas.problemResponses(400, 401, 404, 500, 503),
        },
      },
    },
    async ({ sellerId, params: { id }, query: { cursor, limit = 100 }, headers }, reply) => {
      const after = Number(keyOfCursor(cursor, /^\d{1,9}$/) ?? 0);
      if (!uuid.test(id) || !(await hasNotice(store, sellerId, id))) throw noSuchNotice();
      reply.header('vary', 'Accept');
      if (prefersCsv(headers.accept))
        return sendCsv(reply, rejectedRowsAsCsv(store, id, after), downloadIdleMs);
      const rows = await rejectedRowsOf(store, id, { after, limit: limit + 1 });
      return pageOf(
        rows,
        limit,
        ({ line }) => String(line),
        (row) => row,
      );
    },
  );
}

const rejectedRowsAsCsv = (store: Sql, noticeId: string, after: number): Download<RejectedRow> => ({
  filename: `notice-${noticeId}-rejected-rows.csv`,
  columns: ['line', 'order_id', 'expected', 'got'],
  rowsAfter: (row, limit) => rejectedRowsOf(store, noticeId, { after: row?.line ?? after, limit }),
  fieldsOf: ({ line, orderId, expected, got }) => [String(line), orderId, expected, got],
});
