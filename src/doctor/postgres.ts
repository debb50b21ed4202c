import type { Config } from '../config/schema.ts';
import { type PostgresServer, readClock, readSchema, readServer } from '../store/inspect.ts';
import type { Sql } from '../store/store.ts';
import { type Finding, ok, warn, wrong } from './check.ts';
import { looked, withDatabase } from './database.ts';
import { intakeFindings } from './intake.ts';
import { within } from './within.ts';
import { ahead, counted, reasonOf } from './words.ts';

/** Looks at Postgres: the server, its settings, its clock, the schema, and what waits in `intake`. */
export async function postgresFindings(config: Config): Promise<Finding[]> {
  if (config.postgres.url === '') return [];
  return withDatabase(config, async (db) => {
    let server: PostgresServer;
    try {
      server = await within(readServer(db));
    } catch (error) {
      return [away(error)];
    }
    return [
      version(server),
      ...durability(server),
      writable(server),
      connections(server, config.postgres.poolSize),
      ...(await looked('clock', async () => [clock(await skewOf(db))])),
      ...(await looked('migrations', () => migrations(db))),
      ...(await intakeFindings(db, config)),
    ];
  });
}

function away(error: unknown): Finding {
  const refused = error instanceof Error && 'opensCircuit' in error && error.opensCircuit === true;
  return wrong('server', {
    found: reasonOf(error),
    expected: 'a connection',
    remedy: refused
      ? 'correct CHODANG_POSTGRES_URL, and restart the processes that have the wrong one'
      : 'bring Postgres back, or correct CHODANG_POSTGRES_URL ("chodang stack up" starts one on this machine). ' +
        'Nothing is lost meanwhile: notices get 503, and the steps go on by themselves',
  });
}

function version({ version, versionNumber }: PostgresServer): Finding {
  if (versionNumber >= 150_000) return ok('server', `Postgres ${version}`);
  return warn('server', {
    found: `Postgres ${version}`,
    expected: '15 or newer, which is what we test with',
    remedy: 'upgrade Postgres',
  });
}

function durability({ fsync, fullPageWrites, synchronousCommit, database }: PostgresServer): Finding[] {
  const offServer = [
    ['fsync', fsync],
    ['full_page_writes', fullPageWrites],
  ].filter(([, value]) => value !== 'on');
  const findings = offServer.map(([name, value]) =>
    wrong('durability', {
      found: `${name} is ${value}: a crash of the server may ruin the database, and accepted notices with it`,
      expected: 'on',
      remedy: `as a superuser: alter system set ${name} = on; select pg_reload_conf();`,
    }),
  );
  if (synchronousCommit === 'off')
    findings.push(
      wrong('durability', {
        found:
          'synchronous_commit is off: notices answered with 202 are lost if the server crashes just then',
        expected: 'on',
        remedy: `alter database "${database}" set synchronous_commit = on (or alter role, or postgresql.conf: select source from pg_settings where name = 'synchronous_commit' says where), then restart our processes`,
      }),
    );
  if (findings.length > 0) return findings;
  return [ok('durability', `fsync and full_page_writes are on, synchronous_commit is ${synchronousCommit}`)];
}

function writable({ inRecovery, readOnly, database }: PostgresServer): Finding {
  if (inRecovery)
    return wrong('writable', {
      found: 'this server is a standby (in recovery): it takes no writes',
      expected: 'the primary server',
      remedy: 'let CHODANG_POSTGRES_URL name the primary server, or promote this one: select pg_promote();',
    });
  if (readOnly)
    return wrong('writable', {
      found: 'default_transaction_read_only is on: every write is refused',
      expected: 'off',
      remedy: `find out who set it and why, then: alter database "${database}" reset default_transaction_read_only; and restart our processes`,
    });
  return ok('writable', 'it takes writes');
}

function connections({ maxConnections, connectionsLeft }: PostgresServer, poolSize: number): Finding {
  const left = Math.max(connectionsLeft, 0);
  const found = `${left} of ${maxConnections} connections are left`;
  if (left > poolSize) return ok('connections', `${found}, and a process takes ${poolSize} at most`);
  return warn('connections', {
    found: `${found}, and one more process may take ${poolSize} (postgres.poolSize)`,
    expected: `more than ${poolSize}`,
    remedy:
      'raise max_connections, lower CHODANG_POSTGRES_POOL_SIZE, or see who holds them: ' +
      'select application_name, count(*) from pg_stat_activity group by 1 order by 2 desc;',
  });
}

/** How far Postgres's clock is ahead, in ms, as far as half the way of the question tells. */
async function skewOf(db: Sql): Promise<number> {
  const asked = Date.now();
  const clock = await readClock(db);
  return clock.getTime() - (asked + Date.now()) / 2;
}

/** Judges how far Postgres's clock is ahead of that of this machine, in ms. */
export function clock(skewMs: number): Finding {
  const found = `Postgres is ${ahead(skewMs)}`;
  if (Math.abs(skewMs) <= 1_000) return ok('clock', found);
  return (Math.abs(skewMs) > 10_000 ? wrong : warn)('clock', {
    found,
    expected: 'at most 1 s apart',
    remedy: 'see which of the two is right, and why it is not kept so: "timedatectl" on both machines',
  });
}

async function migrations(db: Sql): Promise<Finding[]> {
  const { pending, unknown, run } = await readSchema(db);
  const findings: Finding[] = [];
  if (pending.length > 0)
    findings.push(
      wrong('migrations', {
        found: run === 0 ? 'none was run: there are no tables yet' : `not run yet: ${pending.join(', ')}`,
        expected: `all ${run - unknown.length + pending.length} that this program brings`,
        remedy: 'run "chodang migrate"; "chodang start" does so by itself',
      }),
    );
  if (unknown.length > 0)
    findings.push(
      warn('migrations', {
        found: `this program does not know ${unknown.join(', ')}: a newer one has been here`,
        expected: 'a program as new as the schema',
        remedy: 'run "chodang doctor" of the version that is deployed, and see that no older process runs on',
      }),
    );
  return findings.length > 0 ? findings : [ok('migrations', `all ${counted(run, 'migration')} were run`)];
}
