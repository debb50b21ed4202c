import type { ItemState } from './failureItems.ts';
import type { Operation } from './failureOperations.ts';
import type { Sql } from './store.ts';

/** Which operations to list. */
export interface OperationFilter {
  /** At most so many; default 50. */
  limit?: number | undefined;
  /** Of those before (older than) this one. */
  before?: string | undefined;
  /** Only those with this failure. */
  failureId?: string | undefined;
}

/** Lists what was done with failures, the newest first. */
export function listOperations(
  db: Sql,
  { limit = 50, before, failureId }: OperationFilter = {},
): Promise<Operation[]> {
  return db.query<Operation>(
    `${select}
     where ($2::bigint is null or operation_id < $2) and ($3::bigint is null or operation_id = any(array(
       select operation_id from failure_operation_items where failure_id = $3
     )))
     order by operation_id desc limit $1`,
    [limit, before, failureId],
  );
}

/** Finds one operation; undefined if there is none of that id. */
export async function findOperation(db: Sql, operationId: string): Promise<Operation | undefined> {
  const [row] = await db.query<Operation>(`${select} where operation_id = $1`, [operationId]);
  return row;
}

/** What became of one failure in an operation. */
export interface OperationItem {
  failureId: string;
  state: ItemState;
  /** When its orders were given back the state they need, and when RabbitMQ had its message. */
  sentAt: Date | null;
  publishedAt: Date | null;
  /** The failure that its retry ended in, if it failed again. */
  failedAs: string | null;
}

/** Lists the failures of an operation, by id: at most `limit`, of those after `after`. */
export function listItems(
  db: Sql,
  operationId: string,
  { limit = 1_000, after }: { limit?: number | undefined; after?: string | undefined } = {},
): Promise<OperationItem[]> {
  return db.query<OperationItem>(
    `select i.failure_id as "failureId", i.state, i.sent_at as "sentAt", i.published_at as "publishedAt",
            case when i.state = 'failed_again' then (
              select min(f.failure_id) from failures f where f.retry_of = i.failure_id
            ) end as "failedAs"
     from failure_operation_items i
     where i.operation_id = $1 and i.failure_id > coalesce($3, 0)
     order by i.failure_id limit $2`,
    [operationId, limit, after],
  );
}

const select = `
  select operation_id as "operationId", kind, state, who, why, detail, begun_at as "begunAt", ended_at as "endedAt",
         ended_by as "endedBy", ended_why as "endedWhy",
         (
           select coalesce(jsonb_object_agg(state, count), '{}') from (
             select i.state, count(*) from failure_operation_items i where i.operation_id = o.operation_id group by i.state
           ) c
         ) as items
  from failure_operations o`;
