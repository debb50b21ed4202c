import { headerNames } from '../src/pipeline/message.ts';
import type { Sql } from '../src/store/store.ts';
import { failedMessages } from './failedMessages.ts';

/** So many rows in one statement. */
const slice = 20_000;

/**
 * Fills the empty tables with `failures` failures in `groups` groups, as months of operation would leave them, and
 * returns the id of the greatest group.
 *
 * Every fifth failure is of that one, half of them open; the others are spread over the other groups, most over a few,
 * three in ten of them open, the rest resolved, failed again or discarded. Each has a message of one order and a stack
 * of some 1.5 KB. Nothing is analyzed.
 */
export async function fillFailures(
  db: Sql,
  { failures, groups }: { failures: number; groups: number },
): Promise<string> {
  const made = await db.rows<[string]>(
    `insert into failure_groups (fingerprint, step, error_class, frame, message, first_failed_at, last_failed_at)
     select lpad(to_hex(i), 16, '0'), (array['tms', 'delay', 'validation'])[1 + i % 3], 'TypeError',
            'part' || i || ' (actors/tms)', 'Cannot read properties of undefined (reading ''phone'') of #', now(), now()
     from generate_series(1, $1::int) as i returning group_id`,
    [groups],
  );
  const [greatest] = made[0] ?? [''];
  const [sample] = failedMessages(1);
  for (let from = 1; from <= failures; from += slice)
    await db.query(insertFailures, [
      from,
      Math.min(failures, from + slice - 1),
      failures,
      greatest,
      groups,
      sample?.publication.headers[headerNames.errorStack],
      sample?.publication.content.toString(),
    ]);
  await db.query(countGroups);
  return greatest;
}

/** Adds operations: most of them with a few failures, every hundredth with `large`, every other a retry, none running. */
export async function fillOperations(
  db: Sql,
  { operations, large }: { operations: number; large: number },
): Promise<void> {
  await db.query(
    `insert into failure_operations (kind, state, who, why, detail, begun_at, ended_at)
     select case when i % 2 = 0 then 'retry' else 'discard' end, 'done', 'kim', 'the gateway is well again',
            '{"canary": 1, "stopAfter": 5, "ratePerSecond": 100, "path": null}', at, at + interval '1 minute'
     from generate_series(1, $1::int) as i, lateral (select now() - ($1 - i) * interval '10 minutes' as at) as t`,
    [operations],
  );
  await db.query(
    `insert into failure_operation_items (operation_id, failure_id, state, sent_at, published_at)
     select o.operation_id, i, case when i % 20 = 0 then 'failed_again' else 'resolved' end, now(), now()
     from failure_operations o
     cross join lateral generate_series(1, case when o.operation_id % 100 = 0 then $1 else 1 + o.operation_id % 40 end) as i`,
    [large],
  );
}

const insertFailures = `
  insert into failures (step, message_id, lane, type, error_class, error_message, error_stack, attempt, published_at,
                        failed_at, recorded_at, headers, body, notice_ids, seller_ids, orders, group_id, state, state_at)
  select step, gen_random_uuid(), 'express', step || '.v1', 'TypeError',
         'Cannot read properties of undefined (reading ''phone'') of order-' || i, replace($6::text, 'order-', 'order-' || i),
         5, at - interval '30 s', at, at, jsonb_build_object('chodang-step', step, 'chodang-lane', 'express', 'chodang-attempt', 5,
         'chodang-published-at', at - interval '30 s', 'chodang-failed-at', at),
         convert_to(replace($7::text, 'order-', 'order-' || i), 'utf8'), array[md5('notice ' || i % 5000)::uuid],
         array['seller-' || i % 100], 1, group_id,
         case when i % 5 = 0 then case when i % 10 = 0 then 'open' else 'resolved' end
              when chance < 0.3 then 'open' when chance < 0.8 then 'resolved' when chance < 0.9 then 'failed_again'
              else 'discarded' end,
         at + interval '1 hour'
  from (
    select i, random() as chance, now() - ($3 - i) * interval '2.6 s' as at,
           case when i % 5 = 0 then $4::bigint
                else $4::bigint + 1 + floor(($5::int - 1) * power(random(), 3))::bigint end as group_id
    from generate_series($1::int, $2::int) as i offset 0
  ) k
  join failure_groups using (group_id)
  order by i`;

const countGroups = `
  update failure_groups g
  set failures = k.failures, orders = k.failures, open = k.open, resolved = k.resolved, failed_again = k.failed_again,
      discarded = k.discarded, notices = least(k.failures, 5000), sellers = least(k.failures, 100),
      first_failed_at = k.first_at, last_failed_at = k.last_at, sample_id = k.sample_id,
      state = case when k.open > 0 then 'open' when k.resolved + k.failed_again > 0 then 'resolved' else 'discarded' end
  from (
    select group_id, count(*) as failures, count(*) filter (where state = 'open') as open,
           count(*) filter (where state = 'resolved') as resolved,
           count(*) filter (where state = 'failed_again') as failed_again,
           count(*) filter (where state = 'discarded') as discarded,
           min(failed_at) as first_at, max(failed_at) as last_at, max(failure_id) as sample_id
    from failures group by group_id
  ) k
  where g.group_id = k.group_id`;
