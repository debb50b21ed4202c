import type { Readable } from 'node:stream';
import { Type } from 'typebox';
import { reasonCodes, rejectReasons } from '../rules/notice.ts';
import { ledgerStates } from '../store/notices.ts';

/*
 * Descriptions of what comes in complete the sentence "expected …": the errors of a request quote them.
 * TypeBox counts graphemes for `maxLength`, so patterns bound the characters (code points) as JSON Schema
 * means it; they also keep out control characters and lone surrogates, which Postgres can't store.
 */

const text = (min: number, max: number, description: string) =>
  Type.String({
    minLength: min,
    maxLength: max,
    pattern: `^[^\\p{Cc}\\p{Cs}]{${min},${max}}$`,
    description,
  });

const date = (description: string) =>
  Type.String({ format: 'date', pattern: '^(?!0000)\\d{4}-\\d{2}-\\d{2}$', description });

/** The body of `POST /v1/delay-notices`, of at most `maxOrders` orders. */
export const noticeBody = (maxOrders: number) =>
  Type.Object(
    {
      reason: Type.Enum([...reasonCodes], { description: `one of ${reasonCodes.join(', ')}` }),
      detail: Type.Optional(
        text(0, 300, 'a text of at most 300 characters without control characters such as line breaks'),
      ),
      newShipDate: date('a calendar day as YYYY-MM-DD, such as 2026-12-01'),
      orderIds: Type.Array(
        text(1, 100, 'an order id: a text of 1 to 100 characters without control characters'),
        {
          minItems: 1,
          maxItems: maxOrders,
          description: `a list of 1 to ${maxOrders.toLocaleString('en-US')} order ids`,
        },
      ),
    },
    { additionalProperties: false, description: 'a JSON object { reason, detail?, newShipDate, orderIds }' },
  );

export const noticeQuery = Type.Object(
  { dryRun: Type.Optional(Type.Boolean({ description: 'true or false' })) },
  { additionalProperties: false },
);

/** The body of `POST /v1/delay-notices/import`: read row by row, so nothing of it is checked by schema. */
export const importBody = {
  content: {
    'text/csv': {
      schema: Type.Unsafe<Readable>({
        contentMediaType: 'text/csv',
        description:
          'RFC 4180 in UTF-8; the first line names the columns order_id, new_ship_date, reason and detail, in any order; detail may be left out',
      }),
    },
    'application/x-ndjson': {
      schema: Type.Unsafe<Readable>({
        contentMediaType: 'application/x-ndjson',
        description: 'one JSON object { orderId, newShipDate, reason, detail? } per line, in UTF-8',
      }),
    },
  },
} as const;

export const noticeHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'one key of 1 to 255 visible ASCII characters, such as a UUID',
    }),
  ),
});

/** Not bounded to UUIDs: whatever is no notice of this seller gets the same 404. */
export const noticeParams = Type.Object({ id: Type.String({ description: 'the id of a notice' }) });

/** Where a page begins. */
export const cursor = Type.Optional(
  Type.String({
    maxLength: 1_000,
    pattern: '^[\\w-]{1,1000}$',
    description: 'the nextCursor of the page before, unchanged',
  }),
);

/** How many entries a page has. */
export const limit = (byDefault: number) =>
  Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000,
      default: byDefault,
      description: 'a whole number of 1 to 1000, how many entries a page has',
    }),
  );

export const listQuery = Type.Object({ cursor, limit: limit(50) }, { additionalProperties: false });

export const ordersQuery = Type.Object(
  {
    state: Type.Optional(Type.Enum([...ledgerStates], { description: `one of ${ledgerStates.join(', ')}` })),
    cursor,
    limit: limit(100),
  },
  { additionalProperties: false },
);

const noticeId = Type.String({
  format: 'uuid',
  description: 'UUID version 7: the greater of two is the newer',
});
const path = Type.String({ description: 'legacy or actors: how the notice travels, decided once' });
const orders = Type.Integer({ description: 'distinct orders of the notice' });
const duplicates = Type.Integer({ description: 'repeats within the request, which were dropped' });
const rejectedRows = Type.Integer({ description: "rows of the file that can't be used" });
const instant = Type.String({ format: 'date-time' });
/** Where the next page begins. */
export const nextCursor = Type.Union([Type.String(), Type.Null()], {
  description: 'send it as cursor to get the next page; null on the last one',
});

export const acceptedNotice = Type.Object({
  noticeId,
  path,
  orders,
  duplicates,
  links: Type.Object({ self: Type.String(), orders: Type.String() }),
});

export const acceptedImport = Type.Object({
  noticeId,
  path,
  orders: Type.Integer({ description: 'distinct orders that are safe already' }),
  duplicates,
  state: Type.Enum(['receiving', 'accepted'], { description: 'receiving while more of the file is to come' }),
  links: Type.Object({ self: Type.String(), orders: Type.String(), rejectedRows: Type.String() }),
});

export const rejectedRowsQuery = Type.Object({ cursor, limit: limit(100) }, { additionalProperties: false });

export const rejectedRowsPage = Type.Object({
  items: Type.Array(
    Type.Object({
      line: Type.Integer({ description: 'the number of its first line in the file, from 1' }),
      orderId: Type.Union([Type.String(), Type.Null()]),
      expected: Type.String(),
      got: Type.String(),
    }),
  ),
  nextCursor,
});

export const dryRunVerdicts = Type.Object({
  orders,
  duplicates,
  counts: Type.Object({ accepted: Type.Integer(), rejected: Type.Integer() }),
  verdicts: Type.Array(
    Type.Object({
      orderId: Type.String(),
      verdict: Type.Enum(['accepted', 'rejected']),
      reason: Type.Optional(Type.Enum([...rejectReasons])),
    }),
  ),
});

export const noticeProgress = Type.Object({
  noticeId,
  state: Type.Enum(['receiving', 'accepted', 'settling', 'settled']),
  path,
  orders,
  duplicates,
  rejectedRows: Type.Optional(rejectedRows),
  counts: Type.Object({
    rejected: Type.Integer(),
    delayed: Type.Integer(),
    notified: Type.Integer(),
    undeliverable: Type.Integer(),
    unconfirmed: Type.Integer(),
    failed: Type.Integer(),
  }),
  rejectReasons: Type.Record(Type.String(), Type.Integer(), {
    description: 'how many orders were rejected, by reason',
  }),
  acceptedAt: instant,
  settledAt: Type.Union([instant, Type.Null()]),
});

export const noticeList = Type.Object({
  items: Type.Array(
    Type.Object({
      noticeId,
      reason: Type.String(),
      newShipDate: Type.String({ format: 'date' }),
      path,
      orders,
      duplicates,
      acceptedAt: instant,
    }),
  ),
  nextCursor,
});

export const orderOutcomes = Type.Object({
  items: Type.Array(
    Type.Object({
      orderId: Type.String(),
      state: Type.Enum([...ledgerStates]),
      rejectReason: Type.Optional(Type.String()),
      oldShipDate: Type.Union([Type.String({ format: 'date' }), Type.Null()]),
      newShipDate: Type.String({ format: 'date' }),
      note: Type.Optional(Type.String()),
      settledAt: Type.Union([instant, Type.Null()]),
    }),
  ),
  nextCursor,
});

export const health = Type.Object({
  status: Type.Enum(['ok', 'unavailable']),
  checks: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'ok, or why not, by what was checked' }),
  ),
});

const problemDocument = Type.Object({
  type: Type.String({ description: 'an address that explains this kind of problem' }),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String({ description: 'what is wrong this time' }),
  instance: Type.String({ description: 'names this one occurrence' }),
  errors: Type.Optional(
    Type.Array(
      Type.Object({
        pointer: Type.Optional(Type.String({ description: 'JSON Pointer into the body' })),
        parameter: Type.Optional(Type.String({ description: 'query parameter or header' })),
        expected: Type.String(),
        got: Type.String(),
      }),
    ),
  ),
});

/** Describes, for OpenAPI, the problem documents a route may answer with, by status. */
export function problemResponses(...statuses: number[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: 'A problem document (RFC 9457)',
        content: { 'application/problem+json': { schema: problemDocument } },
      },
    ]),
  );
}
