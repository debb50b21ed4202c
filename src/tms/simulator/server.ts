import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Account } from './account.ts';
import { RefusedCallError, readCall } from './call.ts';
import { faultsSchema, isOmitted } from './faults.ts';
import { customersPage, searchedDigits } from './page.ts';

/** The largest call it reads, in bytes. */
const largestCall = 64 * 1024 * 1024;

/** How many deliveries a page shows at most. */
const pageLength = 100;

const accountName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,79}$/;

const querySchema = Type.Object(
  {
    key: Type.Optional(Type.String()),
    to: Type.Optional(Type.String()),
    after: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
  },
  { additionalProperties: false },
);

/**
 * Makes the simulator's HTTP server, not yet listening; docs/tms.md has its calls.
 *
 * Everything is there twice: plain, for the account `default`, and under `/accounts/<name>`. An account comes
 * into being when it is first named, with what its file in `dataFolder` (which must exist) remembers.
 */
export function makeSimulator({ dataFolder }: { dataFolder: string }): FastifyInstance {
  const app = Fastify({
    bodyLimit: largestCall,
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, allErrors: true } },
  });
  const accounts = new Map<string, Account>();

  const accountOf = (request: FastifyRequest): Account => {
    const { account: name = 'default' } = request.params as { account?: string };
    let account = accounts.get(name);
    if (!account) {
      account = new Account(name, join(dataFolder, `${name}.ndjson`));
      accounts.set(name, account);
    }
    return account;
  };

  app.addHook('onRequest', async (request, reply) => {
    const { account } = request.params as { account?: string };
    if (account !== undefined && !accountName.test(account)) {
      await reply.code(400).send({ error: `expected an account name like test-17, got ${account}` });
    }
  });
  app.addHook('onClose', async () => {
    for (const account of accounts.values()) account.close();
  });
  app.get('/health', () => ({ status: 'ok' }));
  for (const prefix of ['', '/accounts/:account']) {
    app.register(async (scope) => answerCalls(scope, accountOf), { prefix });
    app.register(async (scope) => answerQuestions(scope, accountOf), { prefix });
  }
  return app;
}

/** The gateway's side: takes notifications, in the way that the account's faults ask for. */
function answerCalls(app: FastifyInstance, accountOf: (request: FastifyRequest) => Account): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.post('/v1/notifications', async (request, reply) => {
    const account = accountOf(request);
    const faults = account.begin();
    if (faults.latencyMs) await wait(faults.latencyMs);
    if (faults.dropBefore) return cut(request, reply);
    if (faults.status !== undefined) {
      if (faults.retryAfter !== undefined) reply.header('retry-after', String(faults.retryAfter));
      return reply.code(faults.status).send({ error: 'the simulator was told to answer so' });
    }
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    try {
      const notifications = readCall(body, faults);
      const results = account.accept(notifications, body, faults);
      if (faults.crashAfterAccept) process.kill(process.pid, 'SIGKILL');
      if (faults.dropAfter) return cut(request, reply);
      if (faults.hangMs) await wait(faults.hangMs);
      const told = faults.omitResults
        ? results.filter((_, i) => !isOmitted(faults, i, notifications[i] ?? { key: '', to: '' }))
        : results;
      return reply.type('application/json; charset=utf-8').send(JSON.stringify({ results: told }));
    } catch (error) {
      if (!(error instanceof RefusedCallError)) throw error;
      return reply.code(error.status).send({ error: error.message });
    }
  });
}

/** The other side: who got what, the faults, and the page for people. */
function answerQuestions(instance: FastifyInstance, accountOf: (request: FastifyRequest) => Account): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.get('/v1/notifications', { schema: { querystring: querySchema } }, (request) => {
    const { limit = 100, ...query } = request.query;
    const notifications = accountOf(request).find(readable(query), limit);
    return { notifications, next: notifications.length === limit ? notifications.at(-1)?.n : null };
  });
  app.get('/v1/notifications/count', { schema: { querystring: querySchema } }, (request) => ({
    count: accountOf(request).count(readable(request.query)),
  }));
  app.delete('/v1/notifications', async (request, reply) => {
    accountOf(request).forget();
    return reply.code(204).send();
  });
  app.get('/v1/stats', (request) => accountOf(request).stats());

  app.get('/v1/faults', (request) => accountOf(request).faults.get());
  app.put('/v1/faults', { schema: { body: faultsSchema } }, (request) => {
    accountOf(request).faults.set(request.body);
    return accountOf(request).faults.get();
  });
  app.delete('/v1/faults', async (request, reply) => {
    accountOf(request).faults.set({});
    return reply.code(204).send();
  });

  app.get(
    '/',
    { schema: { querystring: Type.Object({ q: Type.Optional(Type.String()) }) } },
    (request, reply) => {
      const account = accountOf(request);
      const search = request.query.q ?? '';
      const deliveries = account.search(searchedDigits(search), pageLength);
      return sendPage(reply, account, { title: 'What customers received', search, deliveries });
    },
  );
  app.get('/customers/:to', (request, reply) => {
    const account = accountOf(request);
    const { to } = request.params as { to: string };
    const deliveries = account.find({ to }, pageLength, 'newest');
    return sendPage(reply, account, { title: `What ${to} received`, search: to, deliveries });
  });
}

function sendPage(
  reply: FastifyReply,
  account: Account,
  view: Pick<Parameters<typeof customersPage>[0], 'title' | 'search' | 'deliveries'>,
) {
  const base = account.name === 'default' ? '' : `/accounts/${account.name}`;
  return reply
    .type('text/html; charset=utf-8')
    .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
    .send(customersPage({ ...view, base, total: account.stats().delivered }));
}

/** Puts back the `+` of a phone number that was not escaped in the URL, where it means a space. */
function readable<Q extends { to?: string }>(query: Q): Q {
  return query.to === undefined ? query : { ...query, to: query.to.replace(/^ /, '+') };
}

function cut(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.hijack();
  request.raw.socket.destroy();
  return reply;
}
