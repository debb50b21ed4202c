import type { Sql } from './store.ts';

/**
 * Which failures, as SQL that gives their ids: those after `$1`, in order, at most `$2` of them, or all where that is
 * null. So there may be a million of them, and none need leave Postgres.
 */
export interface FailureIds {
  readonly sql: string;
  /** Its parameters, from `$3` on. */
  readonly values: readonly unknown[];
}

/** Those of these ids. */
export const theseIds = (failureIds: readonly string[]): FailureIds => ({
  sql: 'select failure_id from unnest($3::bigint[]) as i (failure_id) where failure_id > $1 order by failure_id limit $2',
  values: [failureIds],
});

/** Counts them. */
export async function countIds(db: Sql, { sql, values }: FailureIds): Promise<number> {
  const [row] = await db.rows<[number]>(`select count(*)::int from (${sql}) i`, [0, null, ...values]);
  return row?.[0] ?? 0;
}
