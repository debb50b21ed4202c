import { Type } from 'typebox';
import { rejectReasons } from '../../rules/notice.ts';
import { failureGroupStates, failureStates } from '../../store/failureGroups.ts';
import { cursor, limit, nextCursor } from '../schemas.ts';

/* Descriptions of what comes in complete the sentence "expected …": the errors of a request quote them. */

const number = (description: string) => Type.String({ pattern: '^[1-9]\\d{0,17}$', description });
const instant = Type.String({ format: 'date-time' });
const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const why = Type.String({
  minLength: 1,
  maxLength: 1_000,
  pattern: '\\S',
  description: 'a text of 1 to 1,000 characters that says why',
});
const closed = { additionalProperties: false };

export const groupsQuery = Type.Object(
  {
    state: Type.Optional(
      Type.Enum([...failureGroupStates], { description: `one of ${failureGroupStates.join(', ')}` }),
    ),
    cursor,
    limit: limit(50),
  },
  closed,
);

export const failuresQuery = Type.Object(
  {
    groupId: Type.Optional(number('the number of a group')),
    state: Type.Optional(
      Type.Enum([...failureStates], { description: `one of ${failureStates.join(', ')}` }),
    ),
    cursor,
    limit: limit(50),
  },
  closed,
);

export const operationsQuery = Type.Object(
  { failureId: Type.Optional(number('the number of a failure')), cursor, limit: limit(50) },
  closed,
);

export const itemsQuery = Type.Object({ cursor, limit: limit(100) }, closed);

/** Not bounded to numbers: whatever is not there gets the same 404. */
export const params = Type.Object({ id: Type.String({ description: 'a number' }) });

const choice = {
  failureIds: Type.Optional(
    Type.Array(number('the number of a failure, as a text'), {
      minItems: 1,
      maxItems: 10_000,
      description: 'a list of 1 to 10,000 numbers of failures, as texts',
    }),
  ),
  groupId: Type.Optional(number('the number of a group, as a text')),
  upTo: Type.Optional(
    number(
      'the sampleId of the group as you saw it: the last failure that is meant, so that later ones are not',
    ),
  ),
};

export const retryQuery = Type.Object(
  { dryRun: Type.Optional(Type.Boolean({ description: 'true or false' })) },
  closed,
);

export const retryBody = Type.Object(
  {
    ...choice,
    canary: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description: 'a whole number, how many go first (default 1)',
      }),
    ),
    ratePerSecond: Type.Optional(
      orNull(Type.Number({ exclusiveMinimum: 0, description: 'how many a second go after that' })),
    ),
    stopAfter: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'a whole number, how many may fail again (default 5)',
      }),
    ),
    path: Type.Optional(Type.Enum(['legacy'], { description: 'legacy, or no such field' })),
    why: Type.Optional(why),
  },
  { ...closed, description: 'a JSON object with failureIds, or with groupId and upTo' },
);

export const discardBody = Type.Object(
  { ...choice, reason: why },
  { ...closed, description: 'a JSON object with reason, and with failureIds, or with groupId and upTo' },
);

export const whyBody = Type.Object({ why }, { ...closed, description: 'a JSON object { why }' });

export const cancelBody = Type.Object(
  {
    why,
    sent: Type.Optional(
      Type.Boolean({ description: 'true to give up what was sent and has not ended as well, or false' }),
    ),
  },
  { ...closed, description: 'a JSON object { why, sent? }' },
);

export const editBody = Type.Object(
  {
    message: Type.Object(
      {},
      {
        additionalProperties: true,
        description: 'the message as it shall be sent, a JSON object { chunks }',
      },
    ),
    why,
  },
  { ...closed, description: 'a JSON object { message, why }' },
);

export const group = Type.Object({
  groupId: Type.String(),
  fingerprint: Type.String(),
  step: Type.String(),
  errorClass: Type.String(),
  frame: orNull(Type.String()),
  message: Type.String({ description: 'without ids and numbers' }),
  state: Type.Enum([...failureGroupStates]),
  failures: Type.Integer({ description: 'all there ever were' }),
  open: Type.Integer(),
  retrying: Type.Integer(),
  orders: Type.Integer(),
  notices: Type.Integer(),
  sellers: Type.Integer(),
  firstFailedAt: instant,
  lastFailedAt: instant,
  sampleId: Type.String({ description: 'the failure that came last; send it as upTo' }),
});

export const groupList = Type.Object({ items: Type.Array(group), nextCursor });

const listed = {
  failureId: Type.String(),
  state: Type.Enum([...failureStates]),
  stateAt: instant,
  operationId: orNull(Type.String()),
  retryOf: orNull(Type.String({ description: 'the failure whose retry failed with this one' })),
  step: Type.String(),
  lane: Type.String(),
  type: orNull(Type.String()),
  messageId: Type.String(),
  errorClass: Type.String(),
  errorMessage: Type.String(),
  attempt: Type.Integer(),
  publishedAt: orNull(instant),
  failedAt: instant,
  recordedAt: instant,
  noticeIds: Type.Array(Type.String()),
  sellerIds: Type.Array(Type.String()),
  orders: Type.Integer(),
  groupId: orNull(Type.String()),
};

export const failureList = Type.Object({ items: Type.Array(Type.Object(listed)), nextCursor });

export const failure = Type.Object({
  ...listed,
  errorStack: orNull(Type.String()),
  headers: Type.Record(Type.String(), Type.Unknown()),
  body: Type.Unknown({ description: 'the message: JSON, a text, or base64:… where it is neither' }),
  revealed: Type.Boolean({ description: 'whether personal data is shown' }),
});

export const begun = Type.Object({
  operationId: Type.String(),
  failures: Type.Integer({ description: 'how many it has in hand' }),
  left: Type.Array(
    Type.Object({
      failureId: Type.String(),
      state: Type.Enum([...failureStates]),
      operationId: orNull(Type.String()),
    }),
    { description: 'those of failureIds that are not open' },
  ),
});

export const foreseen = Type.Object({
  dryRun: Type.Boolean(),
  failures: Type.Array(
    Type.Object({
      failureId: Type.String(),
      step: Type.String(),
      lane: Type.String(),
      would: Type.Enum(['go', 'skip', 'fail']),
      why: orNull(Type.String()),
      goOn: Type.Integer({ description: 'orders that would be worked on' }),
      settled: Type.Integer({ description: 'orders that are settled, and would be left alone' }),
      rejected: Type.Record(
        Type.String({ description: rejectReasons.join(', ') }),
        Type.Array(Type.String()),
      ),
    }),
    { description: 'the first 1,000' },
  ),
  more: Type.Integer({ description: 'how many failures are chosen besides' }),
});

export const edited = Type.Object({
  dryRun: Type.Boolean(),
  diff: Type.String({ description: 'a unified diff; empty if nothing was changed' }),
});

export const operation = Type.Object({
  operationId: Type.String(),
  kind: Type.Enum(['retry', 'discard', 'undo', 'look']),
  state: Type.Enum(['running', 'done', 'stopped', 'canceled']),
  who: Type.String(),
  why: orNull(Type.String()),
  detail: Type.Record(Type.String(), Type.Unknown()),
  begunAt: instant,
  endedAt: orNull(instant),
  endedBy: orNull(Type.String()),
  endedWhy: orNull(Type.String()),
  items: Type.Record(Type.String(), Type.Integer(), {
    description: 'how many failures are waiting, sent, resolved, failed_again, canceled or done',
  }),
});

export const operationList = Type.Object({ items: Type.Array(operation), nextCursor });

export const itemList = Type.Object({
  items: Type.Array(
    Type.Object({
      failureId: Type.String(),
      state: Type.Enum(['waiting', 'sent', 'resolved', 'failed_again', 'canceled', 'done']),
      sentAt: orNull(instant),
      publishedAt: orNull(instant),
      failedAs: orNull(Type.String({ description: 'the failure that its retry ended in' })),
    }),
  ),
  nextCursor,
});
