import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { checkEdited, diffOf } from '../../failures/edit.ts';
import type { Foreseen } from '../../failures/foresee.ts';
import {
  foreseeRetry,
  type RetrySettings,
  retryEdited,
  retryFailures,
  usualRetry,
} from '../../failures/retry.ts';
import { type Choice, choose } from '../../store/failureChoice.ts';
import { findOperation, listItems, listOperations } from '../../store/failureHistory.ts';
import { countIds } from '../../store/failureIds.ts';
import {
  discardFailures,
  endRetry,
  type Operation,
  recordLook,
  undoDiscard,
} from '../../store/failureOperations.ts';
import type { Store } from '../../store/store.ts';
import { keyOfCursor, pageOf } from '../cursor.ts';
import { invalidRequest, Problem } from '../problem.ts';
import { problemResponses } from '../schemas.ts';
import { failureOf, number, security } from './failures.ts';
import { operatorAt } from './role.ts';
import * as schemas from './schemas.ts';

export interface OperationRouteOptions extends RetrySettings {
  store: Store;
  /** Days within which a discard may be taken back. */
  undoDays: number;
}

const mostForeseen = 1_000;

/** Adds what operators do about failed messages, and the history of it. */
export function operationRoutes(app: FastifyInstance, options: OperationRouteOptions): void {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();
  const { store, undoDays } = options;

  routes.post(
    '/v1/failed/retries',
    {
      schema: {
        summary: 'Retry failed messages',
        description:
          '202: they are in hand, and a process with the part failures sends them; operations/{id} tells how far it is. With dryRun=true, 200: what would become of each, and nothing is changed.',
        security,
        querystring: schemas.retryQuery,
        body: schemas.retryBody,
        response: {
          200: schemas.foreseen,
          202: schemas.begun,
          ...problemResponses(400, 401, 403, 413, 415, 422, 500, 503),
        },
      },
    },
    async (request, reply) => {
      const { canary, ratePerSecond, stopAfter, path, why } = request.body;
      const choice = choiceIn(request.body);
      if (request.query.dryRun === true)
        return reply.code(200).send(await foreseenOf(options, choice, path ?? null));
      const who = operatorAt(request);
      const begun = await retryFailures(store, options, {
        by: { who, why },
        choice,
        options: {
          canary: canary ?? usualRetry.canary,
          ratePerSecond: ratePerSecond === undefined ? usualRetry.ratePerSecond : ratePerSecond,
          stopAfter: stopAfter ?? usualRetry.stopAfter,
          path: path ?? null,
        },
      });
      return reply.code(202).send(begun);
    },
  );

  routes.post(
    '/v1/failed/messages/:id/edit',
    {
      schema: {
        summary: 'Retry a failed message with another content; the original is kept',
        description: 'With dryRun=true, 200: what would be changed, and nothing is sent.',
        security,
        params: schemas.params,
        querystring: schemas.retryQuery,
        body: schemas.editBody,
        response: {
          200: schemas.edited,
          202: schemas.begun,
          ...problemResponses(400, 401, 403, 404, 413, 415, 422, 500, 503),
        },
      },
    },
    async (request, reply) => {
      const who = operatorAt(request);
      const { message, why } = request.body;
      const failure = await failureOf(store, request.params.id);
      const edited = JSON.stringify(message);
      if (request.query.dryRun !== true)
        return reply.code(202).send(await retryEdited(store, options, { by: { who, why }, failure, edited }));
      const body = await checkEdited(store, failure, edited);
      // The difference shows the message as it came.
      await recordLook(store, [failure.failureId], { who, why });
      return reply.code(200).send({ dryRun: true, diff: diffOf(failure, body) });
    },
  );

  routes.post(
    '/v1/failed/discards',
    {
      schema: {
        summary: 'Give failed messages up: their orders stay failed',
        security,
        body: schemas.discardBody,
        response: { 200: schemas.begun, ...problemResponses(400, 401, 403, 413, 415, 422, 500, 503) },
      },
    },
    async (request) => {
      const by = { who: operatorAt(request), why: request.body.reason };
      return discardFailures(store, { by, choice: choiceIn(request.body) });
    },
  );

  routes.get(
    '/v1/failed/operations',
    {
      schema: {
        summary: 'Who did what with failed messages, when and why, the newest first',
        security,
        querystring: schemas.operationsQuery,
        response: { 200: schemas.operationList, ...problemResponses(400, 401, 500, 503) },
      },
    },
    async ({ query: { failureId, cursor, limit = 50 } }) => {
      const before = keyOfCursor(cursor, number);
      const rows = await listOperations(store, { limit: limit + 1, before, failureId });
      return pageOf(rows, limit, ({ operationId }) => operationId, operationOut);
    },
  );

  routes.get(
    '/v1/failed/operations/:id',
    {
      schema: {
        summary: 'One operation, and how far it is',
        security,
        params: schemas.params,
        response: { 200: schemas.operation, ...problemResponses(401, 404, 500, 503) },
      },
    },
    async ({ params: { id } }) => operationOut(await operationOf(store, id)),
  );

  routes.get(
    '/v1/failed/operations/:id/messages',
    {
      schema: {
        summary: 'What became of each failed message of an operation',
        security,
        params: schemas.params,
        querystring: schemas.itemsQuery,
        response: { 200: schemas.itemList, ...problemResponses(400, 401, 404, 500, 503) },
      },
    },
    async ({ params: { id }, query: { cursor, limit = 100 } }) => {
      const after = keyOfCursor(cursor, number);
      const { operationId } = await operationOf(store, id);
      const rows = await listItems(store, operationId, { limit: limit + 1, after });
      return pageOf(
        rows,
        limit,
        ({ failureId }) => failureId,
        ({ sentAt, publishedAt, ...item }) => ({
          ...item,
          sentAt: sentAt?.toISOString() ?? null,
          publishedAt: publishedAt?.toISOString() ?? null,
        }),
      );
    },
  );

  routes.post(
    '/v1/failed/operations/:id/cancel',
    {
      schema: {
        summary: 'End a retry: what was not sent is open again',
        security,
        params: schemas.params,
        body: schemas.cancelBody,
        response: {
          200: schemas.operation,
          ...problemResponses(400, 401, 403, 404, 413, 415, 422, 500, 503),
        },
      },
    },
    async (request) => {
      const who = operatorAt(request);
      const { operationId, kind } = await operationOf(store, request.params.id);
      if (kind !== 'retry')
        throw new Problem('refused', `Operation ${operationId} is a ${kind}: only a retry can be ended.`);
      const { why, sent } = request.body;
      await endRetry(store, operationId, { state: 'canceled', who, why, sentToo: sent });
      return operationOut(await operationOf(store, operationId));
    },
  );

  routes.post(
    '/v1/failed/operations/:id/undo',
    {
      schema: {
        summary: 'Take a discard back',
        security,
        params: schemas.params,
        body: schemas.whyBody,
        response: { 200: schemas.begun, ...problemResponses(400, 401, 403, 404, 413, 415, 422, 500, 503) },
      },
    },
    async (request) => {
      const by = { who: operatorAt(request), why: request.body.why };
      const { operationId } = await operationOf(store, request.params.id);
      return undoDiscard(store, operationId, { by, withinDays: undoDays });
    },
  );
}

function choiceIn(body: { failureIds?: string[]; groupId?: string; upTo?: string }): Choice {
  const { failureIds, groupId, upTo } = body;
  if (failureIds !== undefined && groupId === undefined && upTo === undefined) return { failureIds };
  if (failureIds === undefined && groupId !== undefined && upTo !== undefined) return { groupId, upTo };
  throw invalidRequest([
    {
      pointer: '#',
      expected: 'either failureIds, or groupId and upTo (the sampleId of the group as you saw it)',
      got: Object.keys(body).join(', ') || 'neither',
    },
  ]);
}

async function foreseenOf(options: OperationRouteOptions, choice: Choice, path: 'legacy' | null) {
  const { open, left } = await choose(options.store, choice);
  const failures: Foreseen[] = [];
  for await (const page of foreseeRetry(options.store, options, { choice, path })) {
    failures.push(...page.slice(0, mostForeseen - failures.length));
    if (failures.length === mostForeseen) break;
  }
  const all = left.length + (await countIds(options.store, open));
  return { dryRun: true, failures, more: Math.max(0, all - failures.length) };
}

async function operationOf(store: Store, id: string): Promise<Operation> {
  const operation = number.test(id) ? await findOperation(store, id) : undefined;
  if (!operation) throw new Problem('not-found', 'There is no operation of this number.');
  return operation;
}

const operationOut = ({ begunAt, endedAt, detail, ...operation }: Operation) => ({
  ...operation,
  detail: { ...detail },
  begunAt: begunAt.toISOString(),
  endedAt: endedAt?.toISOString() ?? null,
});
