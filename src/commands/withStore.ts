import type { Config } from '../config/schema.ts';
import { openLog } from '../log.ts';
import { openStore, type Store } from '../store/store.ts';
import { loadSettings, requireUrls } from './settings.ts';

/** Opens Postgres for a command, where the configuration says it is, and closes it when `work` is done or has failed. */
export async function withStore(work: (store: Store, config: Config) => Promise<void>): Promise<void> {
  const config = loadSettings();
  requireUrls(config, ['postgres']);
  const log = openLog({ level: 'warn', destination: process.stderr });
  const store = openStore({ ...config.postgres, log });
  try {
    await work(store, config);
  } finally {
    await store.close();
  }
}
