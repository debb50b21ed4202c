import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { operatorOf } from '../store/operators.ts';
import { sellersOf } from '../store/sellers.ts';
import type { Sql } from '../store/store.ts';
import { createAdmission } from './admission.ts';
import { createAuthenticate } from './authenticate.ts';
import { readJsonOnly, refuseLargeBody } from './body.ts';
import { closeSoon } from './closing.ts';
import type { DryRunOptions } from './dry-run.ts';
import { createSendProblem } from './errors.ts';
import { explain } from './explain.ts';
import { failureRoutes } from './failed/failures.ts';
import { type OperationRouteOptions, operationRoutes } from './failed/operations.ts';
import { createGroups } from './groups.ts';
import { type HealthOptions, healthRoutes } from './health.ts';
import type { ImportsOptions } from './import/imports.ts';
import { rejectedRowRoutes } from './import/rejectedRows.ts';
import { importRoutes } from './import/routes.ts';
import { createIntake, type IntakeOptions } from './intake.ts';
import { noticeRoutes } from './notices.ts';
import { outcomeRoutes } from './outcomes.ts';
import { invalidRequest, Problem, problemTypes } from './problem.ts';

/** All that the API needs from the rest of the program. */
export interface ServerOptions
  extends Omit<IntakeOptions, 'log'>,
    Omit<ImportsOptions, 'log'>,
    Omit<DryRunOptions, 'store'>,
    OperationRouteOptions,
    HealthOptions {
  log: FastifyBaseLogger;
  /** The clock. */
  now: () => Date;
  /** Bytes of a body, at most; default 8 MiB. */
  bodyLimit?: number;
  /** So many notices may be under way at once; default 1,500. */
  maxRequests?: number;
  /** So many bytes may the large ones of their bodies have, all together; default 4 MiB. */
  maxBytes?: number;
  /** How long a sender may be silent in the middle of a notice until it is taken for gone, in ms; default 60,000. */
  bodyIdleMs?: number;
  /** How long nothing of a download may be taken until its reader is taken for gone, in ms; default 300,000. */
  downloadIdleMs?: number;
  /** Orders in one notice, at most; default 50,000. */
  maxOrders?: number;
  /** How long `close()` waits for requests that are under way, in ms; default 5,000. */
  closeWithinMs?: number;
}

/** A notice in a body of so many bytes, of a hundred orders and more, is no large one. */
const smallBytes = 4_096;

/**
 * Makes the HTTP server, ready to `listen`.
 *
 * `close()` takes no new connections and no new requests, lets running ones end within `closeWithinMs`, and resolves when
 * all that was accepted has been published or left to the sweep. It closes nothing of what it was given.
 */
export function createServer(options: ServerOptions): FastifyInstance {
  const { log, store, bodyLimit = 8 * 1024 * 1024, retryAfterSeconds = 5, maxOrders = 50_000 } = options;
  const { importLimit = 1024 ** 3, maxRequests = 1_500, maxBytes = 4 * 1024 * 1024 } = options;
  const { bodyIdleMs = 60_000, downloadIdleMs = 300_000, closeWithinMs = 5_000 } = options;
  const sendProblem = createSendProblem({ retryAfterSeconds });
  const app: FastifyInstance = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    // One of its own would cost each request as much as its key; what we log of one names its `reqId`.
    childLoggerFactory: (logger) => logger,
    bodyLimit,
    return503OnClosing: false, // `closeSoon` does, as a problem with Retry-After
    routerOptions: { maxParamLength: 500 },
    frameworkErrors: (error, request, reply) => {
      sendProblem(error, request, reply);
    },
  });
  app.decorateRequest('sellerId', '');
  app.decorateRequest('operator', null);
  readJsonOnly(app);
  app.setValidatorCompiler(({ schema, httpPart }) => validatorFor(schema as TSchema, httpPart));
  app.setErrorHandler(sendProblem);
  app.setNotFoundHandler((request) => {
    throw new Problem('not-found', `There is no ${request.method} ${request.url.split('?')[0]} here.`);
  });

  closeSoon(app, { retryAfterSeconds, closeWithinMs });
  const intake = createIntake(options);
  app.addHook('onClose', () => intake.drained());

  app.register(swagger, { openapi });
  app.register(async (routes) => {
    healthRoutes(routes, options);
    documentRoutes(routes);
  });
  const authenticateSeller = createAuthenticate({
    holderOf: sellerLookup(store),
    welcome: (request, sellerId) => {
      request.sellerId = sellerId;
    },
    now: options.now,
  });
  app.register(async (routes) => {
    const admission = createAdmission({
      maxRequests,
      smallBytes,
      maxBytes,
      bodyLimit,
      bodyIdleMs,
      retryAfterSeconds,
    });
    // Not thrown: what throws is looked at by V8, which took a fifth of all that a refusal costs.
    routes.addHook('onRequest', (request, reply, done) =>
      done(request.method === 'POST' ? admission.look(request, reply) : undefined),
    );
    routes.addHook('onRequest', authenticateSeller);
    routes.addHook('onRequest', refuseLargeBody(bodyLimit));
    routes.addHook('onRequest', (request, reply, done) =>
      done(request.method === 'POST' ? admission.enter(request, reply) : undefined),
    );
    routes.addHook('onClose', async () => admission.close());
    noticeRoutes(routes, { ...options, intake, maxOrders });
    outcomeRoutes(routes, { store, downloadIdleMs });
    rejectedRowRoutes(routes, { store, downloadIdleMs });
  });
  app.register(async (routes) => {
    routes.addHook('onRequest', authenticateSeller);
    routes.addHook('onRequest', refuseLargeBody(importLimit));
    importRoutes(routes, options);
  });
  app.register(async (routes) => {
    const authenticate = createAuthenticate({
      holderOf: (key) => operatorOf(store, key),
      welcome: (request, operator) => {
        request.operator = operator;
      },
      now: options.now,
      cacheMs: 0, // so few ask, and a key that is revoked must not work any longer
    });
    routes.addHook('onRequest', authenticate);
    routes.addHook('onRequest', refuseLargeBody(bodyLimit));
    failureRoutes(routes, options);
    operationRoutes(routes, options);
  });
  return app;
}

/** Looks sellers up by their keys: a thousand who come at the same time take one question, not a thousand connections. */
function sellerLookup(db: Sql): (apiKey: string) => Promise<string | undefined> {
  const groups = createGroups<string, { sellerId: string | undefined }>({
    run: async (keys) => (await sellersOf(db, keys)).map((sellerId) => ({ sellerId })),
    sizeOf: () => 1,
    maxSize: 1_000,
    maxItems: 1_000,
    inFlight: 1,
  });
  return async (apiKey) => (await groups.add(apiKey)).sellerId;
}

const openapi = {
  openapi: '3.1.0',
  info: {
    title: 'Chodang',
    description:
      'Sellers post delay notices, watch them settle and read what became of each order. Developers look after what failed.',
    version: '1',
  },
  components: {
    securitySchemes: {
      apiKey: { type: 'http', scheme: 'bearer', description: "a seller's API key" },
      operatorKey: { type: 'http', scheme: 'bearer', description: "a developer's key, for /v1/failed" },
    },
  },
} as const;

/** Fastify's way to check one part of a request, with errors that name the field. */
function validatorFor(schema: TSchema, httpPart: string | undefined) {
  const validator = Compile(schema);
  return (value: unknown) => {
    // Not `{ value }`: headers that are set make Fastify put them together anew each time they are looked at.
    if (validator.Check(value)) return true;
    // All of a query string is text; a body says itself what is a number.
    const converted = httpPart === 'querystring' ? Value.Convert(schema, value) : value;
    if (validator.Check(converted)) return { value: converted };
    const errors = explain(schema, converted).map(({ pointer = '#', expected, got }) =>
      httpPart === 'body' ? { pointer, expected, got } : { parameter: pointer.slice(2), expected, got },
    );
    const where = httpPart === 'body' ? { pointer: '#' } : { parameter: httpPart ?? 'request' };
    if (errors.length === 0)
      errors.push({ ...where, expected: 'what /openapi.json describes', got: 'something else' });
    return { error: invalidRequest(errors) };
  };
}

/** Adds `/openapi.json` and a page for each type of problem. */
function documentRoutes(app: FastifyInstance): void {
  app.get('/openapi.json', { schema: { summary: 'This description of the API' } }, () => app.swagger());
  for (const [type, { status, title, help }] of Object.entries(problemTypes))
    app.get(`/problems/${type}`, { schema: { hide: true } }, (_request, reply) =>
      reply.type('text/plain; charset=utf-8').send(`${title} (${status})\n\n${help}\n`),
    );
}
