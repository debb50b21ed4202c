import type { Config } from '../config/schema.ts';
import { openStore, type Sql } from '../store/store.ts';
import { type Finding, warn } from './check.ts';
import { patienceMs, within } from './within.ts';
import { reasonOf } from './words.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Opens Postgres for a look, with one connection, and closes it after `look`, which it gives the result of. */
export async function withDatabase<T>({ postgres }: Config, look: (db: Sql) => Promise<T>): Promise<T> {
  const store = openStore({
    url: postgres.url,
    poolSize: 1,
    connectTimeoutMs: patienceMs,
    statementTimeoutMs: patienceMs - 1_000,
    log: silent,
  });
  try {
    return await look(store);
  } finally {
    // Waits for what is still running: not here, where a server may have gone silent.
    void within(store.close()).catch(() => undefined);
  }
}

/** Gives what `look` finds out about `check`, or a warning that it could not be looked at. */
export async function looked(check: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await within(look());
  } catch (error) {
    return [
      warn(check, {
        found: `could not be looked at: ${reasonOf(error)}`,
        remedy: 'look at what is said of Postgres above, or run this again',
      }),
    ];
  }
}

/** Says that the schema is not there yet, or not this far. */
export const notThereYet = (check: string): Finding =>
  warn(check, {
    found: 'not looked at: its table is not there yet, or lacks a column',
    remedy: 'run "chodang migrate"',
  });
