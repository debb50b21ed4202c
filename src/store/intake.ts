import { column } from './batch.ts';
import { bytesBefore, pageBytes } from './page.ts';
import { type Sql, type Store, type Tx, transaction } from './store.ts';

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
 * Each row is looked up by its key and marked where it lies, in the order of the keys, since the sweep of one process and
 * the publishing of another may mark the same chunks at once. What anybody changes in between may stay unmarked, and then
 * is published once more. `done_at is null` stands outside of the lookup, and the whole in a transaction, so that no plan
 * goes through all that waits instead.
 */
export async function markChunksDone(store: Store, chunks: readonly ChunkKey[]): Promise<void> {
  await transaction(store, (tx) =>
    tx.last(mark, [column(chunks, ({ noticeId }) => noticeId), column(chunks, ({ chunkNo }) => chunkNo)]),
  );
}

const mark = `
  with confirmed as materialized (
    select i.tid
    from (
      select * from unnest($1::uuid[], $2::int[]) as c (notice_id, chunk_no) order by notice_id, chunk_no
    ) c
    join lateral (
      select ctid as tid, done_at from intake i
      where i.notice_id = c.notice_id and i.chunk_no = c.chunk_no
      offset 0
    ) i on i.done_at is null
  )
  update intake i set done_at = now() from confirmed c where i.ctid = c.tid`;

/** Where a walk through waiting chunks stands; opaque to callers. */
export interface ChunkCursor extends ChunkKey {
  /** As Postgres writes it: a `Date` would lose the microseconds, and with them chunks. */
  createdAt: string;
}

/**
 * Returns up to `pageSize` chunks of path `path` that are not done and older than `olderThanMs`, oldest
 * first, beginning after `after`, and no more once they have `pageBytes` together: only an empty page is the last. Age
 * is by Postgres's clock.
 */
export async function waitingChunks(
  db: Sql,
  options: { path: string; olderThanMs: number; pageSize: number; after?: ChunkCursor | undefined },
): Promise<(IntakeChunk & ChunkCursor)[]> {
  const { after } = options;
  return db.query<IntakeChunk & ChunkCursor>(
    `select notice_id "noticeId", chunk_no "chunkNo", lane, chunk, created_at::text "createdAt"
     from (
       select notice_id, chunk_no, lane, chunk, created_at,
              ${bytesBefore('octet_length(chunk)', 'created_at, notice_id, chunk_no')} as before
       from intake
       where done_at is null and path = $1 and created_at <= now() - $2 * interval '1 millisecond'
         and ($3::timestamptz is null or (created_at, notice_id, chunk_no) > ($3, $4::uuid, $5::int))
       order by created_at, notice_id, chunk_no
       limit $6
     ) page
     where before < ${pageBytes}
     order by created_at, notice_id, chunk_no`,
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
