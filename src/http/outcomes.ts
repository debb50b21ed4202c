import { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { LedgerState } from '../store/ledger.ts';
import { hasNotice, noticeProgress, noticesOf, type OrderOutcome, orderOutcomes } from '../store/notices.ts';
import type { Sql } from '../store/store.ts';
import { prefersCsv } from './accept.ts';
import { csvLine } from './csv.ts';
import { keyOfCursor, pageOf } from './cursor.ts';
import { Problem } from './problem.ts';
import * as schemas from './schemas.ts';

/** What the id of a notice looks like. */
export const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const text = /^[^\p{Cc}\p{Cs}]+$/u;
/** Rows that are read at once for a CSV. */
const csvPage = 5_000;

/** Adds the `GET`s that tell a seller what became of notices and orders. The seller must be known by then. */
export function outcomeRoutes(app: FastifyInstance, store: Sql): void {
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
        return reply
          .type('text/csv; charset=utf-8')
          .header('content-disposition', `attachment; filename="notice-${id}.csv"`)
          .send(Readable.from(csvOf(store, id, state, after), { objectMode: false }));
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

async function* csvOf(
  store: Sql,
  noticeId: string,
  state: LedgerState | undefined,
  after: string | undefined,
): AsyncGenerator<string> {
  yield csvLine([
    'order_id',
    'state',
    'reject_reason',
    'old_ship_date',
    'new_ship_date',
    'note',
    'settled_at',
  ]);
  let from = after;
  do {
    const rows = await orderOutcomes(store, noticeId, { state, after: from, limit: csvPage });
    yield rows
      .map(({ settledAt, ...order }) =>
        csvLine([
          order.orderId,
          order.state,
          order.rejectReason,
          order.oldShipDate,
          order.newShipDate,
          order.note,
          settledAt?.toISOString() ?? null,
        ]),
      )
      .join('');
    from = rows.length < csvPage ? undefined : rows.at(-1)?.orderId;
  } while (from !== undefined);
}
