import type { ReasonCode, ShipDate } from '../rules/notice.ts';
import { column } from './batch.ts';
import type { LedgerState } from './ledger.ts';
import type { Sql, Tx } from './store.ts';

/** All that the ledger may say of an order. */
export const ledgerStates = [
  'rejected',
  'delayed',
  'notified',
  'undeliverable',
  'unconfirmed',
  'failed',
] as const satisfies LedgerState[];

/** A notice as intake writes it. */
export interface NewNotice {
  noticeId: string;
  sellerId: string;
  path: string;
  lane: string;
  /** Version of the switch's znode that decided the path; null if none did. */
  switchVersion: number | null;
  reason: ReasonCode;
  detail?: string | undefined;
  newShipDate: ShipDate;
  /** Distinct orders. */
  orders: number;
  duplicates: number;
  /** There, with `bodyHash`, if the request named one. */
  idempotencyKey?: string | undefined;
  bodyHash?: Buffer | undefined;
  /** More of its orders are still to come; default false. */
  receiving?: boolean;
}

/** Writes notices, whatever their number, in one statement; call it in the transaction that writes their chunks. */
export async function insertNotices(tx: Tx, notices: readonly NewNotice[]): Promise<void> {
  if (notices.length === 0) return;
  await tx.query(insert, [
    column(notices, ({ noticeId }) => noticeId),
    column(notices, ({ sellerId }) => sellerId),
    column(notices, ({ path }) => path),
    column(notices, ({ lane }) => lane),
    column(notices, ({ switchVersion }) => switchVersion),
    column(notices, ({ reason }) => reason),
    column(notices, ({ detail }) => detail),
    column(notices, ({ newShipDate }) => newShipDate),
    column(notices, ({ orders }) => orders),
    column(notices, ({ duplicates }) => duplicates),
    column(notices, ({ idempotencyKey }) => idempotencyKey),
    column(notices, ({ bodyHash }) => bodyHash?.toString('hex')),
    column(notices, ({ receiving }) => (receiving ? 't' : undefined)),
  ]);
}

const insert = {
  name: 'insert_notices',
  text: `
    insert into notices (notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders,
                         duplicates, idempotency_key, body_hash, received_at)
    select notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders,
           duplicates, idempotency_key, decode(body_hash, 'hex'), case when receiving then null else now() end
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::date[],
                $9::int[], $10::int[], $11::text[], $12::text[], $13::bool[])
      as n (notice_id, seller_id, path, lane, switch_version, reason, detail, new_ship_date, orders,
            duplicates, idempotency_key, body_hash, receiving)`,
};

/** How far a notice is, as the ledger has it. */
export interface NoticeProgress {
  noticeId: string;
  /**
   * `receiving` while the file of an import is still coming in, and `orders` grows; else `accepted` while the ledger
   * has none of its orders, `settled` when none is left to be settled.
   */
  state: 'receiving' | 'accepted' | 'settling' | 'settled';
  path: string;
  orders: number;
  duplicates: number;
  /** Of an import: rows of its file that can't be used. */
  rejectedRows?: number;
  counts: Record<LedgerState, number>;
  /** How many were rejected, by reason; only reasons that occurred. */
  rejectReasons: Record<string, number>;
  acceptedAt: Date;
  /** When its last order settled; null before. */
  settledAt: Date | null;
}

interface ProgressRow
  extends Pick<NoticeProgress, 'noticeId' | 'path' | 'orders' | 'duplicates' | 'acceptedAt'> {
  receiving: boolean;
  /** Null if it is no import. */
  rejectedRows: number | null;
  /** Null if the ledger has no order of the notice. */
  state: LedgerState | null;
  rejectReason: string | null;
  count: number;
  lastSettledAt: Date | null;
}

/** Counts a seller's notice in the ledger; undefined if the seller has no notice of that id (a UUID). */
export async function noticeProgress(
  db: Sql,
  sellerId: string,
  noticeId: string,
): Promise<NoticeProgress | undefined> {
  const rows = await db.query<ProgressRow>(
    `select n.notice_id "noticeId", n.path, n.orders, n.duplicates, n.accepted_at "acceptedAt",
            n.received_at is null receiving, i.rejected_rows "rejectedRows",
            l.state, l.reject_reason "rejectReason", l.count, l.last_settled_at "lastSettledAt"
     from notices n left join imports i using (notice_id) left join lateral (
       select state, reject_reason, count(*)::int count, max(settled_at) last_settled_at
       from ledger where notice_id = n.notice_id group by state, reject_reason
     ) l on true
     where n.notice_id = $2 and n.seller_id = $1`,
    [sellerId, noticeId],
  );
  const [first] = rows;
  return first && progressOf(first, rows);
}

function progressOf(notice: ProgressRow, rows: ProgressRow[]): NoticeProgress {
  const counts = { rejected: 0, delayed: 0, notified: 0, undeliverable: 0, unconfirmed: 0, failed: 0 };
  const rejectReasons: Record<string, number> = {};
  let settledAt: Date | null = null;
  for (const { state, rejectReason, count, lastSettledAt } of rows) {
    if (state === null) continue;
    counts[state] += count;
    if (state === 'rejected' && rejectReason !== null)
      rejectReasons[rejectReason] = (rejectReasons[rejectReason] ?? 0) + count;
    if (lastSettledAt !== null && (settledAt === null || lastSettledAt > settledAt))
      settledAt = lastSettledAt;
  }
  const known = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const state = stateOf(notice, known, counts.delayed);
  const { noticeId, path, orders, duplicates, rejectedRows, acceptedAt } = notice;
  return {
    noticeId,
    state,
    path,
    orders,
    duplicates,
    ...(rejectedRows !== null && { rejectedRows }),
    counts,
    rejectReasons,
    acceptedAt,
    settledAt: state === 'settled' ? settledAt : null,
  };
}

function stateOf(
  { receiving, orders }: ProgressRow,
  known: number,
  delayed: number,
): NoticeProgress['state'] {
  if (receiving) return 'receiving';
  if (known === 0) return 'accepted';
  return known - delayed < orders ? 'settling' : 'settled';
}

/** A notice in a seller's list. */
export interface NoticeSummary {
  noticeId: string;
  reason: ReasonCode;
  newShipDate: ShipDate;
  path: string;
  orders: number;
  duplicates: number;
  acceptedAt: Date;
}

/** Lists a seller's notices, newest first: at most `limit`, beginning after (older than) the notice `after`. */
export async function noticesOf(
  db: Sql,
  sellerId: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<NoticeSummary[]> {
  return db.query<NoticeSummary>(
    `select notice_id "noticeId", reason, new_ship_date::text "newShipDate", path, orders, duplicates,
            accepted_at "acceptedAt"
     from notices
     where seller_id = $1 and notice_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
     order by notice_id desc
     limit $3`,
    [sellerId, after ?? null, limit],
  );
}

/** Tells whether a seller has a notice of that id (a UUID). */
export async function hasNotice(db: Sql, sellerId: string, noticeId: string): Promise<boolean> {
  const rows = await db.query('select from notices where notice_id = $1 and seller_id = $2', [
    noticeId,
    sellerId,
  ]);
  return rows.length === 1;
}

/** What became of one order of a notice. */
export interface OrderOutcome {
  orderId: string;
  state: LedgerState;
  rejectReason: string | null;
  oldShipDate: ShipDate | null;
  newShipDate: ShipDate;
  /** Why undeliverable or unconfirmed, as the gateway said it. */
  note: string | null;
  settledAt: Date | null;
}

/**
 * Lists what became of a notice's orders, by order id: at most `limit`, beginning after order `after`, of
 * one `state` if given. Orders the ledger doesn't have yet are not in it.
 */
export async function orderOutcomes(
  db: Sql,
  noticeId: string,
  { state, after, limit }: { state?: LedgerState | undefined; after?: string | undefined; limit: number },
): Promise<OrderOutcome[]> {
  return db.query<OrderOutcome>(
    `select order_id "orderId", state, reject_reason "rejectReason", old_ship_date::text "oldShipDate",
            new_ship_date::text "newShipDate", note, settled_at "settledAt"
     from ledger
     where notice_id = $1 and order_id > $2 and ($3::ledger_state is null or state = $3)
     order by order_id
     limit $4`,
    [noticeId, after ?? '', state ?? null, limit],
  );
}
