import { type ChunkKey, type IntakeChunk, markChunksDone } from '../store/intake.ts';
import type { Log, Sql } from '../store/store.ts';

/** What brings chunks to the first step's queues. */
export interface Publisher {
  /** Tells whether a publish would go through now, and if not, why. */
  ready(): { readonly ok: true } | { readonly ok: false; readonly why: string };
  /** Resolves once RabbitMQ has confirmed all of `chunks`; rejects if it may not have them all. */
  publish(chunks: IntakeChunk[]): Promise<void>;
}

/** Publishes chunks and marks them in `intake` as they are confirmed. */
export interface Publishing {
  /**
   * Publishes all chunks at once, each by itself, and resolves when those that were confirmed are marked.
   *
   * It never rejects: what goes wrong is logged, and left to the sweep. Returns how many were published.
   */
  publish(chunks: readonly IntakeChunk[]): Promise<number>;
  /** Resolves when nothing is being published any more: for a graceful stop. */
  drained(): Promise<void>;
}

export function createPublishing(options: { store: Sql; publisher: Publisher; log: Log }): Publishing {
  const { publisher, log } = options;
  const mark = createMarker(options.store);
  const pending = new Set<Promise<number>>();

  const publishAll = async (chunks: readonly IntakeChunk[]) => {
    const results = await Promise.allSettled(
      chunks.map(async (chunk) => {
        await publisher.publish([chunk]);
        await mark(chunk);
      }),
    );
    const failed = results.filter((result) => result.status === 'rejected');
    const [first] = failed;
    if (first !== undefined)
      log.warn(
        { err: first.reason, noticeIds: someIdsOf(chunks), chunks: chunks.length, failed: failed.length },
        'chunks could not be published or marked; the sweep will publish them again',
      );
    return chunks.length - failed.length;
  };

  return {
    publish(chunks) {
      const publishing = publishAll(chunks).finally(() => pending.delete(publishing));
      pending.add(publishing);
      return publishing;
    },
    async drained() {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
}

/**
 * Makes a function that marks one chunk. While one statement runs, all that is confirmed meanwhile gathers
 * for the next: the more there is to mark, the fewer statements it takes.
 */
function createMarker(store: Sql): (chunk: ChunkKey) => Promise<void> {
  let gathering: { chunks: ChunkKey[]; marked: Promise<void> } | undefined;
  let before: Promise<unknown> = Promise.resolve();
  return (chunk) => {
    if (gathering === undefined) {
      const chunks: ChunkKey[] = [];
      const marked = before.then(() => {
        gathering = undefined;
        return markChunksDone(store, chunks);
      });
      // Those who wait for `marked` hear of its failure; the next statement runs all the same.
      before = marked.catch(() => undefined);
      gathering = { chunks, marked };
    }
    gathering.chunks.push(chunk);
    return gathering.marked;
  };
}

const someIdsOf = (chunks: readonly IntakeChunk[]) =>
  [...new Set(chunks.map((chunk) => chunk.noticeId))].slice(0, 10);
