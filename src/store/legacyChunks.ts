import type { Sql } from './store.ts';

/** A chunk of `intake` that waits for the legacy run. */
export interface LegacyChunk {
  noticeId: string;
  chunkNo: number;
  lane: string;
  /** JSON, as it would have travelled. */
  chunk: string;
  /** Runs in which some of its orders failed. */
  attempts: number;
  /** The retry of a failure that handed it over (see `retryName`); null for one that came with its notice. */
  retry: string | null;
  /** To the microsecond, which a `Date` would cut off. */
  createdAt: string;
}

/** Finds the oldest chunk that still waits, or the next one `after` another. */
export async function nextLegacyChunk(db: Sql, after?: LegacyChunk): Promise<LegacyChunk | undefined> {
  const rows = await db.query<LegacyChunk>(
    `select notice_id as "noticeId", chunk_no as "chunkNo", lane, chunk, attempts, retry, created_at::text as "createdAt"
     from intake
     where path = 'legacy' and done_at is null
       and ($1::timestamptz is null or (created_at, notice_id, chunk_no) > ($1, $2::uuid, $3::int))
     order by created_at, notice_id, chunk_no limit 1`,
    [after?.createdAt, after?.noticeId, after?.chunkNo],
  );
  return rows[0];
}

/** Marks a chunk as done with: each of its orders is settled. */
export async function finishLegacyChunk(db: Sql, { noticeId, chunkNo }: LegacyChunk): Promise<void> {
  await db.query('update intake set done_at = now() where notice_id = $1 and chunk_no = $2', [
    noticeId,
    chunkNo,
  ]);
}

/** Counts a run in which some of a chunk's orders failed; it stays waiting. */
export async function countLegacyAttempt(db: Sql, { noticeId, chunkNo }: LegacyChunk): Promise<void> {
  await db.query('update intake set attempts = attempts + 1 where notice_id = $1 and chunk_no = $2', [
    noticeId,
    chunkNo,
  ]);
}
