import { theseIds } from './failureIds.ts';
import { lockGroupsOf } from './failureItems.ts';
import { type Store, type Tx, transaction } from './store.ts';

/**
 * Removes failures of which nothing is to be decided any more (resolved, discarded, failed again) since more than
 * `keepDays`, at most `limit` of them, and then groups of which nothing is left; returns how many failures it removed.
 *
 * Who did what with them stays: operations and their items are the history.
 */
export function removeOldFailures(
  store: Store,
  { keepDays, limit }: { keepDays: number; limit: number },
): Promise<number> {
  return transaction(store, async (tx) => {
    const removable = await tx.rows<[string]>(
      `select failure_id from failures
       where state in ('resolved', 'failed_again', 'discarded') and state_at < now() - make_interval(days => $1)
       order by state_at limit $2`,
      [keepDays, limit],
    );
    const ids = removable.map(([failureId]) => failureId);
    await lockGroupsOf(tx, theseIds(ids));
    const [row] = await tx.rows<[number]>(
      `with removed as (
         delete from failures
         where failure_id = any($1) and coalesce(state in ('resolved', 'failed_again', 'discarded'), false)
         returning group_id, state
       ), counted as (
         update failure_groups g
         set resolved = g.resolved - k.resolved, failed_again = g.failed_again - k.failed_again,
             discarded = g.discarded - k.discarded
         from (
           select group_id, count(*) filter (where state = 'resolved') as resolved,
                  count(*) filter (where state = 'failed_again') as failed_again,
                  count(*) filter (where state = 'discarded') as discarded
           from removed group by group_id
         ) k
         where g.group_id = k.group_id
       )
       select count(*)::int from removed`,
      [ids],
    );
    // What somebody wrote in their place may hold personal data as well.
    await tx.query(
      'update failure_operation_items set body = null where failure_id = any($1) and body is not null',
      [ids],
    );
    await removeEmptyGroups(tx, keepDays, limit);
    return row?.[0] ?? 0;
  });
}

async function removeEmptyGroups(tx: Tx, keepDays: number, limit: number): Promise<void> {
  const empty = await tx.rows<[string]>(
    `select group_id from failure_groups
     where state in ('resolved', 'discarded') and closed_at < now() - make_interval(days => $1)
       and open + retrying + resolved + failed_again + discarded = 0
     order by closed_at limit $2 for update skip locked`,
    [keepDays, limit],
  );
  const ids = empty.map(([groupId]) => groupId);
  for (const table of ['failure_group_notices', 'failure_group_sellers', 'failure_groups'])
    await tx.query(`delete from ${table} where group_id = any($1)`, [ids]);
}
