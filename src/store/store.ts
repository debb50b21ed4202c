import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig, Pool, type PoolClient, type QueryResultRow, types } from 'pg';
import type { BaseLogger } from 'pino';
import { blame, isCollision, unavailable } from './unavailable.ts';

/** Something that takes SQL: the store (each statement a transaction of its own) or a transaction. */
export interface Sql {
  /** Runs one statement. Days come back as `YYYY-MM-DD`. Throws `InfrastructureError` if Postgres can't be had. */
  query<Row extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** The same with each row as a list of its columns, which is quicker for thousands of them. */
  rows<Row extends unknown[]>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/**
 * A statement that each connection plans once and keeps: planning is a third of what twenty orders take. Only for a
 * transaction, in which no plan reads a whole table: one made while that was empty would go on to.
 */
export interface Prepared {
  /** Of this statement only, 63 bytes at most. */
  readonly name: string;
  readonly text: string;
}

/** An open transaction; only good inside the function it was given to. */
export interface Tx extends Sql {
  readonly inTransaction: true;
  query<Row extends QueryResultRow>(
    statement: string | Prepared,
    values?: readonly unknown[],
  ): Promise<Row[]>;
  rows<Row extends unknown[]>(statement: string | Prepared, values?: readonly unknown[]): Promise<Row[]>;
  /**
   * Runs the last statement and commits in the same round trip; should it fail, all is rolled back. Whatever speaks
   * against committing has to make the statement itself fail: see `all_of` in migrations/.
   */
  last<Row extends unknown[]>(statement: string | Prepared, values?: readonly unknown[]): Promise<Row[]>;
}

/** Postgres, as the rest of the program sees it. */
export interface Store extends Sql {
  readonly pool: Pool;
  readonly log: Log;
  /** A connection outside the pool, for what holds one long (locks, migrations). */
  newClient(): Client;
  /** Makes all connections of the pool, so that the first burst need not wait for them. */
  warm(): Promise<void>;
  /** Waits for what runs, then closes all connections. */
  close(): Promise<void>;
}

export type Log = Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>;

export interface StoreOptions {
  /** `postgres://…` */
  url: string;
  /** Connections at most. */
  poolSize: number;
  log: Log;
  /** How long to wait for a connection, whether the pool's or a new one, in ms; default 5,000. */
  connectTimeoutMs?: number;
  /** How long one statement may take, in ms; default 30,000. */
  statementTimeoutMs?: number;
}

const dateOid = 1082;
const asText = (value: string) => value;
/** A day is a day: pg would make it midnight in the zone of this machine. */
const withDaysAsText: ClientConfig['types'] = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === dateOid
      ? asText
      : (types.getTypeParser as (oid: number, format?: string) => unknown)(oid, format),
};

/**
 * Opens a pool of connections; the first is made when it is needed, so this never fails.
 *
 * A connection that breaks while idle is logged and replaced.
 */
export function openStore(options: StoreOptions): Store {
  const { url, poolSize, log, connectTimeoutMs = 5_000, statementTimeoutMs = 30_000 } = options;
  const connection = {
    connectionString: url,
    application_name: 'chodang',
    keepAlive: true,
    connectionTimeoutMillis: connectTimeoutMs,
    types: withDaysAsText,
    // What is asked without waiting for the answer before is sent at once.
    pipeline: true,
  } satisfies ClientConfig;
  const pool = new Pool({
    ...connection,
    max: poolSize,
    // Once made they stay: making one takes longest when there is most to do.
    min: poolSize,
    statement_timeout: statementTimeoutMs,
    // Ours ends later than Postgres's: it only speaks up where Postgres has gone silent altogether.
    query_timeout: statementTimeoutMs + 2_000,
  });
  pool.on('error', (error) => log.warn({ err: error }, 'an idle connection to Postgres broke'));
  return {
    pool,
    log,
    // What holds a lock must know before Postgres does that they have lost each other: see `withLock`.
    newClient: () => new Client({ ...connection, keepAliveInitialDelayMillis: 10_000 }),
    ...sqlOver((query) => blamed(pool.query(query))),
    async warm() {
      const clients = await Promise.allSettled(Array.from({ length: poolSize }, () => pool.connect()));
      for (const client of clients) if (client.status === 'fulfilled') client.value.release();
    },
    close: () => pool.end(),
  };
}

/** Asks Postgres for a sign of life; throws `InfrastructureError` if there is none. */
export async function ping(db: Sql): Promise<void> {
  await db.query('select 1');
}

/**
 * Batches look rows up by key, thousands at a time. A plan made from old statistics, or none, would rather read
 * and hash the whole table: at 100,000 orders ten times slower. With these off it stays a lookup in the index.
 */
const begin =
  'begin; set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_seqscan = off; set local jit = off';
const maxRuns = 6;

/**
 * Runs `work` in one transaction, and again from the start if it lost to another one (a deadlock, a `StaleRead`).
 *
 * `run` counts from 1. `work` must change nothing but the database. Whatever it throws rolls back and is thrown on; a lost
 * connection is an `InfrastructureError`, and then whether a commit under way took place is unknown.
 * Plans use indexes wherever there is one: meant for lookups by key, not for reports.
 */
export async function transaction<T>(store: Store, work: (tx: Tx, run: number) => Promise<T>): Promise<T> {
  for (let run = 1; ; run++) {
    try {
      return await once(store, (tx) => work(tx, run));
    } catch (error) {
      if (!isCollision(error) || run === maxRuns) throw blame(error);
      store.log.debug({ err: error, run }, 'a transaction lost to another one, and runs again');
      await sleep(Math.random() * 10 * run);
    }
  }
}

async function once<T>(store: Store, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await store.pool.connect().catch((error: unknown) => {
    throw unavailable(error);
  });
  // Without a listener, a connection that breaks between two statements would end the process.
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  const sql = sqlOver((query) => client.query(query));
  const commit = () => client.query('commit');
  let committing: Promise<unknown> | undefined;
  const tx: Tx = {
    inTransaction: true,
    ...sql,
    last(statement, values) {
      const rows = sql.rows<never>(statement, values);
      // Where the statement fails, this one rolls back, and is answered without an error. Waited for below; but nobody
      // does if `work` throws.
      committing = commit();
      committing.catch(() => undefined);
      return rows;
    },
  };
  let unusable: Error | undefined;
  try {
    // It goes together with the first statement of `work`: one round trip less. Should it fail, that one does, too.
    const begun = client.query(begin);
    begun.catch(() => undefined);
    const result = await work(tx);
    await begun;
    await (committing ?? commit());
    return result;
  } catch (error) {
    unusable = broken ?? (await rollback(client, error));
    throw error;
  } finally {
    client.removeListener('error', onError);
    client.release(unusable);
  }
}

type Query = { name?: string; text: string; values: unknown[]; rowMode?: 'array' };

const named = (statement: string | Prepared) =>
  typeof statement === 'string' ? { text: statement } : statement;

/** A statement without a name is planned anew each time, for the values it comes with. */
function sqlOver(run: (query: Query) => Promise<{ rows: unknown[] }>): Pick<Tx, 'query' | 'rows'> {
  return {
    query: async <Row extends QueryResultRow>(
      statement: string | Prepared,
      values: readonly unknown[] = [],
    ) => (await run({ ...named(statement), values: [...values] })).rows as Row[],
    rows: async <Row extends unknown[]>(statement: string | Prepared, values: readonly unknown[] = []) =>
      (await run({ ...named(statement), values: [...values], rowMode: 'array' })).rows as Row[],
  };
}

async function blamed<T>(running: Promise<T>): Promise<T> {
  try {
    return await running;
  } catch (error) {
    throw blame(error);
  }
}

/** Rolls back; returns why the connection can't be used again, if it can't. */
async function rollback(client: PoolClient, reason: unknown): Promise<Error | undefined> {
  // A statement that timed out on our side may still run, and a rollback would wait behind it.
  if (reason instanceof Error && reason.message === 'Query read timeout') return reason;
  try {
    await client.query('rollback');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
