import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { Publisher } from '../../src/http/publishing.ts';
import { createServer, type ServerOptions } from '../../src/http/server.ts';
import type { IntakeChunk } from '../../src/store/intake.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import type { Store } from '../../src/store/store.ts';
import { migratedDatabase } from '../support/database.ts';
import { aToday } from '../support/makers.ts';
import { until } from '../support/wait.ts';

export const quiet = pino({ level: 'silent' });

/** A publisher that remembers, and does as it is told. RabbitMQ itself is tested in `test/pipeline`. */
export interface ToldPublisher extends Publisher {
  published: IntakeChunk[];
  /** Why it isn't ready; undefined if it is. */
  away: string | undefined;
  /** Why there is no room, though it is ready; undefined if there is. */
  full: string | undefined;
  /** Called before a chunk is confirmed; may wait, or throw. */
  before(chunk: IntakeChunk): Promise<void> | void;
}

export function toldPublisher(): ToldPublisher {
  const publisher: ToldPublisher = {
    published: [],
    away: undefined,
    full: undefined,
    before: () => undefined,
    ready: () => okUnless(publisher.away),
    hasRoom: () => okUnless(publisher.away ?? publisher.full),
    async publish(chunks) {
      for (const chunk of chunks) {
        await publisher.before(chunk);
        publisher.published.push(chunk);
      }
    },
  };
  return publisher;
}

const okUnless = (why: string | undefined) =>
  why === undefined ? ({ ok: true } as const) : ({ ok: false, why } as const);

/** An API on a database of its own, with sellers `s-1` and `s-2`. */
export interface Api {
  app: FastifyInstance;
  store: Store;
  publisher: ToldPublisher;
  /** API keys by seller. */
  keys: { 's-1': string; 's-2': string };
  /** What the switch answers from now on. */
  path: string;
  close(): Promise<void>;
}

export async function startApi(options: Partial<ServerOptions> = {}): Promise<Api> {
  const database = await migratedDatabase();
  const { store } = database;
  const publisher = toldPublisher();
  const keys = { 's-1': await addApiKey(store, 's-1'), 's-2': await addApiKey(store, 's-2') };
  const app = createServer({
    store,
    publisher,
    evaluate: () => ({ variant: api.path, version: 7 }),
    fallbackPath: 'legacy',
    lanes: { express: { maxOrders: 100 }, bulk: {} },
    limits: { maxDaysLate: 30, maxDelays: 3 },
    steps: ['validation', 'delay', 'tms'],
    undoDays: 7,
    today: () => aToday,
    now: () => new Date(),
    log: quiet,
    checks: {},
    metrics: async () => '',
    ...options,
  });
  const close = async () => {
    await app.close();
    await database.drop();
  };
  const api: Api = { app, store, publisher, keys, path: 'actors', close };
  return api;
}

export const aBody = (parts: object = {}): object => ({
  reason: 'WEATHER',
  newShipDate: '2026-11-29',
  orderIds: ['o-1'],
  ...parts,
});

/** A notice as it goes over the wire. */
export const requestTo = (api: Api) => {
  const body = JSON.stringify(aBody());
  return (
    `POST /v1/delay-notices HTTP/1.1\r\nhost: here\r\nauthorization: Bearer ${api.keys['s-1']}\r\n` +
    `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
};

/** Waits until a statement waits for a lock. */
export const untilLocked = (api: Api, what: string) =>
  until(
    async () =>
      (
        await api.store.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
        )
      ).length > 0,
    { what },
  );

/** Posts a notice; `headers` win, and a header that is undefined is left out. */
export async function post(
  api: Api,
  body: unknown,
  { headers = {}, query = '' }: { headers?: Record<string, string | undefined>; query?: string } = {},
) {
  const all = { authorization: `Bearer ${api.keys['s-1']}`, 'content-type': 'application/json', ...headers };
  const response = await api.app.inject({
    method: 'POST',
    url: `/v1/delay-notices${query}`,
    headers: Object.fromEntries(
      Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
  return answerOf(response);
}

/** What `post` takes after the API. */
export type PostArguments = Parameters<typeof post> extends [Api, ...infer Rest] ? Rest : never;

/** Gets an address as a seller, `s-1` unless said otherwise. */
export async function get(
  api: Api,
  url: string,
  { seller = 's-1', headers = {} }: { seller?: 's-1' | 's-2'; headers?: Record<string, string> } = {},
) {
  return answerOf(
    await api.app.inject({ url, headers: { authorization: `Bearer ${api.keys[seller]}`, ...headers } }),
  );
}

type Answer = Awaited<ReturnType<FastifyInstance['inject']>>;

function answerOf({ statusCode, headers, body }: Answer) {
  const json = String(headers['content-type']).includes('json');
  return {
    status: statusCode,
    headers,
    text: body,
    body: (json ? JSON.parse(body) : undefined) as unknown,
  };
}

/** How many rows a table has. */
export async function countOf(store: Store, table: string): Promise<number> {
  const [row] = await store.query<{ count: number }>(`select count(*)::int count from ${table}`);
  return row?.count ?? 0;
}

/** Something to wait at until it is opened. */
export function aGate(): { opened: Promise<void>; open(): void } {
  const gate: { opened: Promise<void>; open(): void } = { opened: Promise.resolve(), open: () => {} };
  gate.opened = new Promise((resolve) => {
    gate.open = resolve;
  });
  return gate;
}

/** Waits a moment, for what must not happen. */
export const aMoment = () => sleep(50);
