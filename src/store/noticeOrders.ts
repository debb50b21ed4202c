import type { OrderKey } from './batch.ts';
import type { Sql } from './store.ts';

/** What a notice has for life. */
export interface NoticeOfId {
  sellerId: string;
  path: string;
}

/** Finds notices, by id. */
export async function noticesOfIds(db: Sql, noticeIds: readonly string[]): Promise<Map<string, NoticeOfId>> {
  const rows = await db.query<NoticeOfId & { noticeId: string }>(
    `select notice_id as "noticeId", seller_id as "sellerId", path from notices where notice_id = any($1)`,
    [noticeIds],
  );
  return new Map(rows.map(({ noticeId, ...notice }) => [noticeId, notice]));
}

/** Finds, among orders, those that their notices were not posted for: they are in none of its chunks. */
export async function ordersNotOf<Key extends OrderKey>(db: Sql, keys: readonly Key[]): Promise<Key[]> {
  const rows = await db.rows<[noticeId: string, orderId: string]>(
    `select i.notice_id, item ->> 'orderId'
     from intake i cross join json_array_elements(i.chunk::json -> 'items') item
     where i.notice_id = any($1) and item ->> 'orderId' = any($2)`,
    [keys.map(({ noticeId }) => noticeId), keys.map(({ orderId }) => orderId)],
  );
  const known = new Set(rows.map(([noticeId, orderId]) => `${noticeId}:${orderId}`));
  return keys.filter(({ noticeId, orderId }) => !known.has(`${noticeId}:${orderId}`));
}
