import assert from 'node:assert/strict';
import { failedOrdersOf } from '../../src/rules/salvage.ts';
import { isStorable } from '../../src/store/batch.ts';
import { storable } from '../../src/store/storable.ts';
import type { Sql } from '../../src/store/store.ts';

/** Each finds rows that must not be there; `is` compares what is kept of all there ever were with what there is. */
const contradictions = (is: '=' | '>='): Record<string, string> => ({
  'a group counts other failures in a state than it has': `
    select g.group_id, to_jsonb(g) - array['fingerprint', 'frame', 'message'] as kept, to_jsonb(c) as counted
    from failure_groups g
    cross join lateral (
      select count(*) filter (where state = 'open') as open,
             count(*) filter (where state = 'retrying') as retrying,
             count(*) filter (where state = 'resolved') as resolved,
             count(*) filter (where state = 'failed_again') as failed_again,
             count(*) filter (where state = 'discarded') as discarded
      from failures where group_id = g.group_id
    ) c
    where (g.open, g.retrying, g.resolved, g.failed_again, g.discarded)
       <> (c.open, c.retrying, c.resolved, c.failed_again, c.discarded)`,
  'a group counts other failures, orders, notices or sellers than it has': `
    select g.group_id, g.failures, g.orders, notices, sellers, to_jsonb(c) as counted, n.count, s.count
    from failure_groups g
    cross join lateral (
      select count(*) as failures, coalesce(sum(orders), 0) as orders from failures where group_id = g.group_id
    ) c
    cross join lateral (select count(distinct n) from failures f, unnest(f.notice_ids) n where f.group_id = g.group_id) n
    cross join lateral (select count(distinct s) from failures f, unnest(f.seller_ids) s where f.group_id = g.group_id) s
    where not (g.failures ${is} c.failures and g.orders ${is} c.orders and notices ${is} n.count and sellers ${is} s.count)`,
  // A group that was resolved stays so when those that were are removed, and only discarded ones are left.
  'the state of a group does not follow from its counts': `
    select group_id, state, open, retrying, resolved, failed_again, discarded, came_back from failure_groups
    where state <> all(case
      when retrying > 0 then array['retrying']
      when open > 0 then array[case when came_back then 'reopened' else 'open' end]
      when resolved + failed_again > 0 then array['resolved']
      when discarded > 0 then case when failures > discarded then array['resolved', 'discarded'] else array['discarded'] end
      else array['resolved', 'discarded'] end)
      or (closed_at is not null) <> (state in ('resolved', 'discarded'))`,
  'a failure is in the hand of another number of operations than its state says': `
    select f.failure_id, f.state, f.operation_id, i.operations from failures f
    cross join lateral (
      select array_agg(operation_id) as operations from failure_operation_items
      where failure_id = f.failure_id and state in ('waiting', 'sent')
    ) i
    where i.operations is distinct from case when f.state = 'retrying' then array[f.operation_id] end`,
  'a failure ended otherwise than its operation says': `
    select f.failure_id, f.state, o.kind, i.state as item from failures f
    join failure_operations o using (operation_id)
    left join failure_operation_items i using (operation_id, failure_id)
    where case f.state
      when 'resolved' then i.state is distinct from 'resolved'
      when 'failed_again' then i.state is distinct from 'failed_again'
      when 'discarded' then o.kind <> 'discard' or i.state is distinct from 'done'
      when 'open' then coalesce(i.state, '') <> all(array['canceled', 'done'])
      else false end`,
  'an operation has ended, and still has something to do': `
    select o.operation_id, o.kind, o.state, i.state as item, count(*) from failure_operations o
    join failure_operation_items i using (operation_id)
    where i.state = 'waiting' and o.state <> 'running' or i.state = 'sent' and o.state = 'done'
    group by 1, 2, 3, 4`,
  'the ledger contradicts itself': `
    select notice_id, order_id, state, failed_from, settled_at from ledger
    where failed_from is not null and (state <> 'failed' or failed_from <> 'delayed')
       or state = 'failed' and settled_at is null or state = 'delayed' and settled_at is not null`,
});

/**
 * Asserts that what the database says of failures adds up: each group's counts are its failures', its state follows
 * from them, and each failure is where its operation says. True after every commit, whatever else goes on. `removed`: old
 * failures may have been removed.
 */
export async function groupsAddUp(db: Sql, { removed = false } = {}): Promise<void> {
  for (const [what, sql] of Object.entries(contradictions(removed ? '>=' : '=')))
    assert.deepEqual(await db.query(sql), [], what);
}

/**
 * Asserts that somebody can still do something about every order that is `failed`: it is in a failure that is open,
 * waits to be retried, or was discarded on purpose.
 */
export async function noneForgotten(db: Sql): Promise<void> {
  const failures = await db.query<{ body: Buffer }>(
    `select f.body from failures f left join failure_operation_items i
       on i.operation_id = f.operation_id and i.failure_id = f.failure_id
     where f.state in ('open', 'discarded') or f.state = 'retrying' and i.state = 'waiting'`,
  );
  const inHand = new Set(
    failures
      .flatMap(({ body }) => failedOrdersOf(body))
      .filter(isStorable)
      .map(({ noticeId, orderId }) => `${noticeId}:${storable(orderId)}`),
  );
  const failed = await db.rows<[string]>(
    `select notice_id || ':' || order_id from ledger where state = 'failed'`,
  );
  assert.deepEqual(
    failed.map(([key]) => key).filter((key) => !inHand.has(key)),
    [],
    'orders are failed that nobody can retry',
  );
}
