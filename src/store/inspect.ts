import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Sql } from './store.ts';

/** Postgres as it is set up, seen by a session like those of the steps; settings as `show` prints them. */
export interface PostgresServer {
  version: string;
  /** 150006 for 15.6. */
  versionNumber: number;
  database: string;
  fsync: string;
  fullPageWrites: string;
  /** `off` loses commits that were confirmed; whatever else there is loses none on this server. */
  synchronousCommit: string;
  /** A standby: it takes no writes. */
  inRecovery: boolean;
  /** New transactions write nothing. */
  readOnly: boolean;
  maxConnections: number;
  /** How many more an ordinary user may open. */
  connectionsLeft: number;
}

/** Asks Postgres how it is set up. */
export async function readServer(db: Sql): Promise<PostgresServer> {
  // Of pg_stat_activity, an ordinary user sees too little to tell who is a client.
  const [server] = await db.query<PostgresServer>(
    `select current_setting('server_version') as version,
            current_setting('server_version_num')::int as "versionNumber",
            current_database() as database,
            current_setting('fsync') as fsync,
            current_setting('full_page_writes') as "fullPageWrites",
            current_setting('synchronous_commit') as "synchronousCommit",
            pg_is_in_recovery() as "inRecovery",
            current_setting('default_transaction_read_only') = 'on' as "readOnly",
            current_setting('max_connections')::int as "maxConnections",
            current_setting('max_connections')::int
              - current_setting('superuser_reserved_connections')::int
              - coalesce(current_setting('reserved_connections', true), '0')::int
              - (select coalesce(sum(numbackends), 0)::int from pg_stat_database) as "connectionsLeft"`,
  );
  if (!server) throw new Error('Postgres answered no row where one was expected');
  return server;
}

/** Reads Postgres's clock. */
export async function readClock(db: Sql): Promise<Date> {
  const [row] = await db.query<{ now: Date }>('select clock_timestamp() as now');
  if (!row) throw new Error('Postgres answered no row where one was expected');
  return row.now;
}

/** How the schema and this program fit together, by names of migrations. */
export interface Schema {
  /** Known to this program, and not run yet. */
  pending: string[];
  /** Run, and not known to this program: it is older than the schema. */
  unknown: string[];
  /** How many were run. */
  run: number;
}

/** Compares the migrations that were run with those that this program brings. */
export async function readSchema(db: Sql): Promise<Schema> {
  const known = readdirSync(migrationsDir)
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .toSorted();
  const rows = await ifThere(() =>
    db.query<{ name: string }>('select name from migrations order by run_on, id'),
  );
  const run = (rows ?? []).map(({ name }) => name);
  return {
    pending: known.filter((name) => !run.includes(name)),
    unknown: run.filter((name) => !known.includes(name)),
    run: run.length,
  };
}

const migrationsDir = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Chunks that have waited too long. */
export interface OverdueChunks {
  /** No more than 10,000 are counted. */
  chunks: number;
  /** Of these, the ones that a legacy run tried in vain. */
  tried: number;
  /** How old the oldest is, by Postgres's clock; null if there is none. */
  oldestMs: number | null;
}

/** Looks for chunks of a path that are older than `olderThanMs` and not done; undefined if there is no such table. */
export async function overdueChunks(
  db: Sql,
  { path, olderThanMs }: { path: string; olderThanMs: number },
): Promise<OverdueChunks | undefined> {
  const rows = await ifThere(() =>
    db.query<OverdueChunks>(
      `select count(*)::int as chunks, count(*) filter (where attempts > 0)::int as tried,
              (extract(epoch from now() - min(created_at)) * 1000)::float8 as "oldestMs"
       from (
         select created_at, attempts from intake
         where done_at is null and path = $1 and created_at <= now() - $2::float8 * interval '1 millisecond'
         order by created_at limit 10000
       ) as overdue`,
      [path, olderThanMs],
    ),
  );
  return rows?.[0];
}

/** Failures that nobody has in hand; no more than 10,000 are counted. */
export interface OpenFailures {
  failures: number;
  groups: number;
  /** When the last of them failed; null if there is none. */
  lastFailedAt: Date | null;
}

/** Counts failures that are open; undefined if the schema isn't that far. */
export async function openFailures(db: Sql): Promise<OpenFailures | undefined> {
  const rows = await ifThere(() =>
    db.query<OpenFailures>(
      `select count(*)::int as failures, count(distinct group_id)::int as groups, max(failed_at) as "lastFailedAt"
       from (
         select group_id, failed_at from failures where state = 'open' order by failure_id desc limit 10000
       ) as open`,
    ),
  );
  return rows?.[0];
}

/** Bundles of alerts that did not arrive in one channel. */
export interface UndeliveredAlerts {
  channel: string;
  /** True if nobody tries any more. */
  gaveUp: boolean;
  bundles: number;
  /** What went wrong last, and how often it was tried. */
  error: string | null;
  attempts: number;
}

/** Looks for alerts that were given up or tried three times in vain; undefined if the schema isn't that far. */
export function undeliveredAlerts(db: Sql): Promise<UndeliveredAlerts[] | undefined> {
  return ifThere(() =>
    db.query<UndeliveredAlerts>(
      `select channel, gave_up_at is not null as "gaveUp", count(*)::int as bundles, max(attempts) as attempts,
              (array_agg(error order by next_at desc) filter (where error is not null))[1] as error
       from alert_deliveries
       where delivered_at is null and (gave_up_at is not null or attempts >= 3)
       group by channel, gave_up_at is not null
       order by channel, gave_up_at is not null`,
    ),
  );
}

/** Something that is being done with failures, and doesn't get on. */
export interface IdleOperation {
  operationId: string;
  kind: string;
  who: string;
  /** How long ago it began. */
  ageMs: number;
}

/** Looks for operations that began more than `ms` ago, run, and published nothing since; undefined if the schema isn't that far. */
export function idleOperations(db: Sql, ms: number): Promise<IdleOperation[] | undefined> {
  return ifThere(() =>
    db.query<IdleOperation>(
      `select operation_id as "operationId", kind, who,
              (extract(epoch from now() - begun_at) * 1000)::float8 as "ageMs"
       from failure_operations as operation
       where state = 'running' and begun_at <= now() - $1::float8 * interval '1 millisecond'
         and not exists (
           select from failure_operation_items as item
           where item.operation_id = operation.operation_id
             and item.published_at > now() - $1::float8 * interval '1 millisecond'
         )
       order by operation_id limit 100`,
      [ms],
    ),
  );
}

/** Gives what `look` finds; undefined if it asks for a table or a column that isn't there. */
async function ifThere<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === '42P01' || code === '42703') return undefined;
    throw error;
  }
}
