import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type { Store } from './store.ts';
import { blame } from './unavailable.ts';

const dir = fileURLToPath(new URL('../../migrations', import.meta.url));

/**
 * Brings the schema up to date, and returns the names of the migrations it ran.
 *
 * Two processes that start at once are safe: the second waits for the first, and finds nothing left to do.
 */
export async function migrate(store: Store): Promise<string[]> {
  const client = store.newClient();
  client.on('error', (error) => store.log.warn({ err: error }, 'the connection that migrates broke'));
  const { log } = store;
  try {
    await client.connect();
    const ran = await runner({
      dbClient: client,
      dir,
      direction: 'up',
      migrationsTable: 'migrations',
      advisoryLockMode: 'wait',
      singleTransaction: true,
      logger: {
        info: (message) => log.debug({}, message),
        warn: (message) => log.warn({}, message),
        error: (message) => log.error({}, message),
      },
    });
    return ran.map(({ name }) => name);
  } catch (error) {
    throw blame(error);
  } finally {
    await client.end().catch((error: unknown) => log.debug({ err: error }, 'was closed already'));
  }
}
