import { column } from './batch.ts';
import type { Sql, Tx } from './store.ts';

/** Some orders of a notice as they wait to be published or for the legacy run. */
export interface IntakeChunk {
  noticeId: string;
  /** 0 for the first chunk of its notice. */
  chunkNo: number;
  lane: string;
  /** JSON `{ header, items }`, as it travels. */
  chunk: string;
  /** How many orders it holds, if that is known without reading it. */
  orders?: number;
}

/** Names one chunk. */
export type ChunkKey = Pick<IntakeChunk, 'noticeId' | 'chunkNo'>;

/** A notice, and some of its chunks. */
export interface ChunksOfNotice {
  noticeId: string;
  path: string;
  lane: string;
  chunks: readonly Pick<IntakeChunk, 'chunkNo' | 'chunk'>[];
}

/**
 * Writes chunks of notices, whatever their number, in one statement; call it in the transaction that writes the notices,
 * or moves an import on.
 *
 * They go as lines of one text, since JSON on one line has no line breaks: an array of texts with so many
 * quotes to escape takes Postgres ten times longer.
 */
export async function insertChunks(tx: Tx, notices: readonly ChunksOfNotice[]): Promise<void> {
  const all = notices.flatMap(({ chunks }, at) =>
    chunks.map(({ chunkNo, chunk }) => ({ chunkNo, chunk, notice: at + 1 })),
  );
  if (all.length === 0) return;
  await tx.query(insert, [
    column(notices, ({ noticeId }) => noticeId),
    column(notices, ({ path }) => path),
    column(notices, ({ lane }) => lane),
    column(all, ({ notice }) => notice),
    column(all, ({ chunkNo }) => chunkNo),
    all.map(({ chunk }) => chunk).join('\n'),
  ]);
}

const insert = {
  name: 'insert_chunks',
  text: `
    insert into intake (notice_id, path, lane, chunk_no, chunk)
    select ($1::uuid[])[c.notice], ($2::text[])[c.notice], ($3::text[])[c.notice], c.chunk_no, c.chunk
    from rows from (unnest($4::int[]), unnest($5::int[]), string_to_table($6, E'\\n'))
      as c (notice, chunk_no, chunk)`,
};

/**
 * Marks chunks as done: RabbitMQ has confirmed them. Marking twice is no harm.
 *
 * Rows are locked in one order first: the sweep of one process and the publishing of another may mark the
 * same chunks at once.
 */
export async function markChunksDone(db: Sql, chunks: readonly ChunkKey[]): Promise<void> {
  await db.query(
    `with confirmed as (
       select notice_id, chunk_no
       from intake join unnest($1::uuid[], $2::int[]) as c (notice_id, chunk_no) using (notice_id, chunk_no)
       where done_at is null
       order by notice_id, chunk_no
       for update of intake
     )
     update intake set done_at = now()
     from confirmed
     where intake.notice_id = confirmed.notice_id and intake.chunk_no = confirmed.chunk_no`,
    [column(chunks, ({ noticeId }) => noticeId), column(chunks, ({ chunkNo }) => chunkNo)],
  );
}

/** Where a walk through waiting chunks stands; opaque to callers. */
export interface ChunkCursor extends ChunkKey {
  /** As Postgres writes it: a `Date` would lose the microseconds, and with them chunks. */
  createdAt: string;
}

/**
 * Returns up to `pageSize` chunks of path `path` that are not done and older than `olderThanMs`, oldest
 * first, beginning after `after`. Age is by Postgres's clock.
 */
export async function waitingChunks(
  db: Sql,
  options: { path: string; olderThanMs: number; pageSize: number; after?: ChunkCursor | undefined },
): Promise<(IntakeChunk & ChunkCursor)[]> {
  const { after } = options;
  return db.query<IntakeChunk & ChunkCursor>(
    `select notice_id "noticeId", chunk_no "chunkNo", lane, chunk, created_at::text "createdAt"
     from intake
     where done_at is null and path = $1 and created_at <= now() - $2 * interval '1 millisecond'
       and ($3::timestamptz is null or (created_at, notice_id, chunk_no) > ($3, $4::uuid, $5::int))
     order by created_at, notice_id, chunk_no
     limit $6`,
    [
      options.path,
      options.olderThanMs,
      after?.createdAt ?? null,
      after?.noticeId ?? null,
      after?.chunkNo ?? null,
      options.pageSize,
    ],
  );
}
