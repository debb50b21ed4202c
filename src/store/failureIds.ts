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

/** So many are looked at by one statement, which takes about a second: longer ones would run into the store's time limit. */
const sliceSize = 10_000;

/** A statement about failures that are the rows of `slice`, a table with the column `failure_id`. */
export interface SliceQuery {
  /** What it does before, as further parts of its `with`. */
  parts?: readonly string[];
  /** What it answers with; none of these rows may be all null. */
  rows: string;
  /** Its own parameters, the first of which is `$` and `firstOwn(ids)`. */
  values?: readonly unknown[];
}

/** The number of the first parameter of a statement's own. */
export const firstOwn = ({ values }: FailureIds): number => 3 + values.length;

/** Runs a statement for failures, so many at a time that it doesn't take long; gives the rows of each time. */
export async function* bySlices<Row extends readonly unknown[]>(
  db: Sql,
  ids: FailureIds,
  { parts = [], rows, values = [] }: SliceQuery,
): AsyncGenerator<Row[], undefined> {
  let after: string | null = '0';
  while (after !== null) {
    const found: [last: string | null, more: boolean, ...(readonly unknown[])][] = await db.rows(
      `with ${[`slice as materialized (${ids.sql})`, ...parts].join(', ')}
       select s.last, s.count = $2, r.*
       from (select max(failure_id) as last, count(*) as count from slice) s left join (${rows}) r on true`,
      [after, sliceSize, ...ids.values, ...values],
    );
    yield found.flatMap(([, , ...row]) =>
      row.every((value) => value === null) ? [] : [row as unknown as Row],
    );
    const [first] = found;
    after = first?.[1] ? first[0] : null;
  }
}
