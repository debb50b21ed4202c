import { type ChunkKey, type IntakeChunk, markChunksDone } from '../store/intake.ts';
import type { Log, Store } from '../store/store.ts';

type Readiness = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** What brings chunks to the first step's queues. */
export interface Publisher {
  /** Tells whether a publish would go through now, and if not, why. */
  ready(): Readiness;
  /** Tells whether more should be taken in to be published: it is ready, and not too much waits for a confirm. */
  hasRoom(): Readiness;
  /** Publishes chunks of one lane as one message; resolves once RabbitMQ has confirmed it, rejects if it may not have it. */
  publish(chunks: IntakeChunk[]): Promise<void>;
}

/** Publishes chunks and marks them in `intake` as they are confirmed. */
export interface Publishing {
  /**
   * Publishes all chunks at once, small ones of one lane in one message, and resolves when those that were confirmed
   * are marked.
   *
   * It never rejects: what goes wrong is logged, and left to the sweep. Returns how many were published.
   */
  publish(chunks: readonly IntakeChunk[]): Promise<number>;
  /** Resolves when nothing is being published any more: for a graceful stop. */
  drained(): Promise<void>;
}

export function createPublishing(options: {
  store: Store;
  publisher: Publisher;
  log: Log;
  /** Orders in one message, at most; default 500. */
  chunkSize?: number | undefined;
}): Publishing {
  const { publisher, log, chunkSize = 500 } = options;
  const mark = createMarker(options.store);
  const pending = new Set<Promise<number>>();

  const publishAll = async (chunks: readonly IntakeChunk[]) => {
    let failed = 0;
    let first: unknown;
    await Promise.all(
      messagesOf(chunks, chunkSize).map(async (message) => {
        try {
          await publisher.publish(message);
          await mark(message);
        } catch (error) {
          failed += message.length;
          first ??= error;
        }
      }),
    );
    if (failed > 0)
      log.warn(
        { err: first, noticeIds: someIdsOf(chunks), chunks: chunks.length, failed },
        'chunks could not be published or marked; the sweep will publish them again',
      );
    return chunks.length - failed;
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

/** Puts chunks of one lane into messages of at most `chunkSize` orders; one whose orders nobody counted goes alone. */
function messagesOf(chunks: readonly IntakeChunk[], chunkSize: number): IntakeChunk[][] {
  const messages: IntakeChunk[][] = [];
  const filling = new Map<string, { message: IntakeChunk[]; orders: number }>();
  for (const chunk of chunks) {
    const { lane, orders = chunkSize } = chunk;
    let last = filling.get(lane);
    if (last === undefined || last.orders + orders > chunkSize) {
      last = { message: [], orders: 0 };
      filling.set(lane, last);
      messages.push(last.message);
    }
    last.message.push(chunk);
    last.orders += orders;
  }
  return messages;
}

/**
 * Makes a function that marks chunks. While one statement runs, all that is confirmed meanwhile gathers
 * for the next: the more there is to mark, the fewer statements it takes.
 */
function createMarker(store: Store): (chunks: readonly ChunkKey[]) => Promise<void> {
  let gathering: { chunks: ChunkKey[]; marked: Promise<void> } | undefined;
  let before: Promise<unknown> = Promise.resolve();
  return (some) => {
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
    gathering.chunks.push(...some);
    return gathering.marked;
  };
}

const someIdsOf = (chunks: readonly IntakeChunk[]) =>
  [...new Set(chunks.map((chunk) => chunk.noticeId))].slice(0, 10);
