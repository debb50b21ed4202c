import { Client } from 'pg';
import { until } from './wait.ts';

const key = 4_711;

/**
 * Holds up whoever does `event` on `table` while the gate is shut, in the middle of their transaction; `deferred`: in
 * the middle of their commit, which takes place whatever becomes of them.
 */
export async function gateAt(
  url: string,
  {
    table,
    event,
    when = 'true',
    deferred = false,
  }: { table: string; event: string; when?: string; deferred?: boolean },
) {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`
    create or replace function gate() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock_shared(${key}); return null; end $$;
    create constraint trigger gate after ${event} on ${table}
      ${deferred ? 'deferrable initially deferred' : 'not deferrable'}
      for each row when (${when}) execute function gate();
    select pg_advisory_lock(${key})`);
  return {
    /** Waits until somebody stands at the gate. */
    held: () =>
      until(
        async () => {
          const { rowCount } = await client.query(
            `select from pg_locks where locktype = 'advisory' and objid = ${key} and not granted`,
          );
          return (rowCount ?? 0) > 0;
        },
        { what: `somebody waits at ${event} on ${table}`, timeoutMs: 30_000 },
      ),
    /** Lets whoever waits go on, and everybody after. */
    async open() {
      await client.query(`select pg_advisory_unlock(${key})`);
      // Whoever waited is through, or gone, once the trigger can be dropped.
      await client.query(`drop trigger gate on ${table}`);
      await client.end();
    },
  };
}
