import type { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { LedgerState } from '../store/ledger.ts';
import { hasNotice, noticeProgress, noticesOf, type OrderOutcome, orderOutcomes } from '../store/notices.ts';
import type { Sql } from '../store/store.ts';
import { prefersCsv } from './accept.ts';
import { keyOfCursor, pageOf } from './cursor.ts';
import { type Download, sendCsv } from './download.ts';
import { Problem } from './problem.ts';
import * as schemas from './schemas.ts';

/** What the id of a notice looks like. */
export const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const text = /^[^\p{Cc}\p{Cs}]+$/u;

/**
 * Adds the `GET`s that tell a seller what became of notices and orders. The seller must be known by then. A download
 * of which nothing is taken for `downloadIdleMs` ends.
 */
export function outcomeRoutes(
  app: FastifyInstance,
  { store, downloadIdleMs }: { store: Sql; downloadIdleMs: number },
): void {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  routes.get(
    '/v1/delay-notices',
    {
      schema: {
        summary: 'List notices, newest first',
        security: [{ apiKey: [] }],
        querystring: schemas.listQuery,
        response: { 200: schemas.noticeList, ...schemas.problemResponses(400, 401, 500, 503) },
      },
    },
    async ({ sellerId, query: { cursor, limit = 50 } }) => {
      const after = keyOfCursor(cursor, uuid);
      const rows = await noticesOf(store, sellerId, { after, limit: limit + 1 });
      return pageOf(
        rows,
        limit,
        (notice) => notice.noticeId,
        (notice) => ({ ...notice, acceptedAt: notice.acceptedAt.toISOString() }),
      );
    },
  );

  routes.get(
    '/v1/delay-notices/:id',
    {
      schema: {
        summary: 'How far a notice is',
        security: [{ apiKey: [] }],
        params: schemas.noticeParams,
        response: { 200: schemas.noticeProgress, ...schemas.problemResponses(401, 404, 500, 503) },
      },
    },
    async ({ sellerId, params: { id } }) => {
      const progress = uuid.test(id) ? await noticeProgress(store, sellerId, id) : undefined;
      if (progress === undefined) throw noSuchNotice();
      const { acceptedAt, settledAt } = progress;
      return {
        ...progress,
        acceptedAt: acceptedAt.toISOString(),
        settledAt: settledAt?.toISOString() ?? null,
      };
    },
  );

  routes.get(
    '/v1/delay-notices/:id/orders',
    {
      schema: {
        summary: 'What became of each order of a notice',
        description:
          'By order id, one page at a time; orders that no step has judged yet are not listed. With Accept: text/csv all of them, streamed, from cursor on.',
        security: [{ apiKey: [] }],
        produces: ['application/json', 'text/csv'],
        params: schemas.noticeParams,
        querystring: schemas.ordersQuery,
        response: {
          200: {
            description: 'One page as JSON, or all as CSV',
            content: {
              'application/json': { schema: schemas.orderOutcomes },
              'text/csv': { schema: Type.Unsafe<Readable>({ type: 'string' }) },
            },
          },
          ...schemas.problemResponses(400, 401, 404, 500, 503),
        },
      },
    },
    async ({ sellerId, params: { id }, query: { state, cursor, limit = 100 }, headers }, reply) => {
      const after = keyOfCursor(cursor, text);
      if (!uuid.test(id) || !(await hasNotice(store, sellerId, id))) throw noSuchNotice();
      reply.header('vary', 'Accept');
      if (prefersCsv(headers.accept))
        return sendCsv(reply, outcomesAsCsv(store, id, state, after), downloadIdleMs);
      const rows = await orderOutcomes(store, id, { state, after, limit: limit + 1 });
      return pageOf(rows, limit, (order) => order.orderId, outcomeOf);
    },
  );
}

/** Makes the one answer for what is not there and for what is another seller's: nobody learns which ids exist. */
export const noSuchNotice = () => new Problem('not-found', 'You have no delay notice with this id.');

function outcomeOf({ rejectReason, note, settledAt, ...rest }: OrderOutcome) {
  return {
    ...rest,
    ...(rejectReason === null ? {} : { rejectReason }),
    ...(note === null ? {} : { note }),
    settledAt: settledAt?.toISOString() ?? null,
  };
}

const outcomesAsCsv = (
  store: Sql,
  noticeId: string,
  state: LedgerState | undefined,
  after: string | undefined,
): Download<OrderOutcome> => ({
  filename: `notice-${noticeId}.csv`,
  columns: ['order_id', 'state', 'reject_reason', 'old_ship_date', 'new_ship_date', 'note', 'settled_at'],
  rowsAfter: (row, limit) => orderOutcomes(store, noticeId, { state, after: row?.orderId ?? after, limit }),
  fieldsOf: (order) => [
    order.orderId,
    order.state,
    order.rejectReason,
    order.oldShipDate,
    order.newShipDate,
    order.note,
    order.settledAt?.toISOString() ?? null,
  ],
});
