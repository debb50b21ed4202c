import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { maskedFailure, viewOf } from '../../failures/view.ts';
import { type FailureGroup, findFailureGroup, listFailureGroups } from '../../store/failureGroups.ts';
import { recordLook } from '../../store/failureOperations.ts';
import {
  findFailures,
  type ListedFailure,
  listFailures,
  type RecordedFailure,
} from '../../store/failures.ts';
import type { Sql, Store } from '../../store/store.ts';
import { keyOfCursor, pageOf } from '../cursor.ts';
import { Problem } from '../problem.ts';
import { problemResponses } from '../schemas.ts';
import { operatorAt } from './role.ts';
import * as schemas from './schemas.ts';

/** The number of a failure, a group or an operation. */
export const number = /^[1-9]\d{0,17}$/;
const groupCursor = /^\d{4}-\d\d-\d\dT[\d:.]+Z\/\d+$/;
export const security = [{ operatorKey: [] }];

/** Adds the `GET`s for failed messages and their groups, with personal data masked, and the look at all that is in one. */
export function failureRoutes(app: FastifyInstance, { store }: { store: Store }): void {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  routes.get(
    '/v1/failed/groups',
    {
      schema: {
        summary: 'List what failed alike, what failed last first',
        security,
        querystring: schemas.groupsQuery,
        response: { 200: schemas.groupList, ...problemResponses(400, 401, 500, 503) },
      },
    },
    async ({ query: { state, cursor, limit = 50 } }) => {
      const after = keyOfCursor(cursor, groupCursor);
      const states = state === undefined ? undefined : [state];
      const rows = await listFailureGroups(store, { limit: limit + 1, after, states });
      return pageOf(rows, limit, (group) => group.cursor, groupOut);
    },
  );

  routes.get(
    '/v1/failed/groups/:id',
    {
      schema: {
        summary: 'One group',
        security,
        params: schemas.params,
        response: { 200: schemas.group, ...problemResponses(401, 404, 500, 503) },
      },
    },
    async ({ params: { id } }) => {
      const group = number.test(id) ? await findFailureGroup(store, id) : undefined;
      if (!group) throw new Problem('not-found', 'There is no group of this number.');
      return groupOut(group);
    },
  );

  routes.get(
    '/v1/failed/messages',
    {
      schema: {
        summary: 'List failed messages, the newest first',
        security,
        querystring: schemas.failuresQuery,
        response: { 200: schemas.failureList, ...problemResponses(400, 401, 500, 503) },
      },
    },
    async ({ query: { groupId, state, cursor, limit = 50 } }) => {
      const before = keyOfCursor(cursor, number);
      const rows = await listFailures(store, { limit: limit + 1, before, groupId, state });
      return pageOf(
        rows,
        limit,
        ({ failureId }) => failureId,
        (failure) => timesOut(maskedFailure(failure)),
      );
    },
  );

  routes.get(
    '/v1/failed/messages/:id',
    {
      schema: {
        summary: 'One failed message, with personal data masked',
        security,
        params: schemas.params,
        response: { 200: schemas.failure, ...problemResponses(401, 404, 500, 503) },
      },
    },
    async ({ params: { id } }) => timesOut(viewOf(await failureOf(store, id), { revealed: false })),
  );

  routes.post(
    '/v1/failed/messages/:id/look',
    {
      schema: {
        summary: 'One failed message with all that is in it; who looked, and why, is recorded',
        security,
        params: schemas.params,
        body: schemas.whyBody,
        response: { 200: schemas.failure, ...problemResponses(400, 401, 403, 404, 413, 415, 500, 503) },
      },
    },
    async (request) => {
      const who = operatorAt(request);
      const failure = await failureOf(store, request.params.id);
      await recordLook(store, [failure.failureId], { who, why: request.body.why });
      return timesOut(viewOf(failure, { revealed: true }));
    },
  );
}

/** Finds one failure; throws the problem `not-found` if there is none of that number. */
export async function failureOf(db: Sql, id: string): Promise<RecordedFailure> {
  const [failure] = number.test(id) ? await findFailures(db, [id]) : [];
  if (!failure) throw new Problem('not-found', 'There is no failed message of this number.');
  return failure;
}

const groupOut = ({ firstFailedAt, lastFailedAt, ...group }: FailureGroup) => ({
  ...group,
  firstFailedAt: firstFailedAt.toISOString(),
  lastFailedAt: lastFailedAt.toISOString(),
});

const timesOut = <Failure extends ListedFailure>({
  stateAt,
  publishedAt,
  failedAt,
  recordedAt,
  ...failure
}: Failure) => ({
  ...failure,
  stateAt: stateAt.toISOString(),
  publishedAt: publishedAt?.toISOString() ?? null,
  failedAt: failedAt.toISOString(),
  recordedAt: recordedAt.toISOString(),
});
