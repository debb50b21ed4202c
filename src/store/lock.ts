import { createHash } from 'node:crypto';
import type { Store } from './store.ts';
import { blame } from './unavailable.ts';

/**
 * Runs `work` if no other process (or call) holds the lock called `name`; returns whether it ran.
 *
 * The lock is Postgres's, held by a connection of its own outside the pool: it goes with the process, however
 * that ends. `signal` aborts if the connection breaks, since then somebody else may get the lock.
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
    // Ending the session gives the lock back.
    await client.end().catch((error: unknown) => store.log.debug({ err: error }, 'was closed already'));
  }
}

/** Postgres wants a 64-bit number for a name. */
const keyOf = (name: string) =>
  createHash('sha256').update(`chodang:${name}`).digest().readBigInt64BE(0).toString();
