import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Store } from './store.ts';
import { blame } from './unavailable.ts';

/**
 * Runs `work` if no other process (or call) holds the lock called `name`; returns whether it ran.
 *
 * The lock is Postgres's, held by a connection of its own outside the pool: it goes with the process, however
 * that ends, and within a minute with the machine. `signal` aborts if the connection breaks, since then somebody else
 * may get the lock.
 */
export async function withLock(
  store: Store,
  name: string,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const client = store.newClient();
  const lost = new AbortController();
  client.on('error', (error) => {
    store.log.warn({ err: error, lock: name }, 'the connection that holds a lock broke');
    lost.abort(error);
  });
  try {
    const key = keyOf(name);
    try {
      await client.connect();
      await client.query(askWhetherWeLive);
      const { rows } = await client.query<{ mine: boolean }>('select pg_try_advisory_lock($1) as mine', [
        key,
      ]);
      if (!rows[0]?.mine) return false;
    } catch (error) {
      throw blame(error);
    }
    await work(lost.signal);
    return true;
  } finally {
    await end(client, store);
  }
}

/**
 * So Postgres finds out after 50 s that a machine is gone which could not say so, and ends the session; by default it
 * waits for two hours. The holder, if it lives, finds out after 20: `newClient` has it ask every second after ten.
 */
const askWhetherWeLive =
  'set tcp_keepalives_idle = 20; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3';

const endWithinMs = 2_000;

/** Ends the session, which gives the lock back. A connection on which Postgres has gone silent is cut. */
async function end(client: Client, { log }: Store): Promise<void> {
  const ended = client.end().catch((error: unknown) => log.debug({ err: error }, 'was closed already'));
  const late = sleep(endWithinMs, 'late', { ref: false });
  if ((await Promise.race([ended, late])) === 'late') client.connection.stream.destroy();
}

/** Postgres wants a 64-bit number for a name. */
const keyOf = (name: string) =>
  createHash('sha256').update(`chodang:${name}`).digest().readBigInt64BE(0).toString();
