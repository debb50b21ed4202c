import type { Readable } from 'node:stream';
import { InfrastructureError } from '../../pipeline/errors.ts';
import { withLock } from '../../store/lock.ts';
import { type AcceptedNotice, choosePath, type IntakeOptions, laneFor } from '../intake.ts';
import { newNoticeId } from '../noticeId.ts';
import { Problem } from '../problem.ts';
import { createPublishing } from '../publishing.ts';
import { textOf } from './body.ts';
import { csvFile } from './csv.ts';
import type { Format } from './file.ts';
import { ndjsonFile } from './ndjson.ts';
import { receiveFile, type Upload } from './receive.ts';
import { stillRunning } from './storeGroup.ts';

export interface ImportsOptions extends IntakeOptions {
  /** Bytes of a file, unpacked, at most; default 1 GiB. */
  importLimit?: number;
  /** Distinct orders of a file, at most: each takes 17 bytes of memory while it comes in; default 5,000,000. */
  importMaxOrders?: number;
  /** Files that come in at once, at most: each takes a connection to Postgres and its memory; default 4. */
  importsAtOnce?: number;
  /** How long a sender may be silent until it is taken for gone, in ms; default 60,000. */
  importIdleMs?: number;
  /** Rows that wait for others to be stored with them wait no longer than this, in ms; default 250. */
  importPauseMs?: number;
  /** Chunks in one transaction, at most; default 10. */
  importGroupChunks?: number;
}

/** A request that brings a file. */
export interface ImportRequest {
  sellerId: string;
  format: Format;
  body: Readable;
  gzipped: boolean;
  idempotencyKey: string | undefined;
  /** W3C trace context of the request. */
  traceparent: string | undefined;
}

/** What is answered as soon as the first rows are safe. */
export interface AcceptedImport extends AcceptedNotice {
  /** `receiving` if more rows are to come, `accepted` if this was the whole file. */
  state: 'receiving' | 'accepted';
}

export interface Imports {
  /**
   * Receives a file, whose orders make one notice. `accepted` resolves as soon as the first rows are safe, `received`
   * when all are.
   *
   * Both reject with the problem if nothing was stored; `received` alone if it broke off later: then all rows that
   * `imports` counts are safe, and the same file with the same idempotency key goes on behind them.
   */
  receive(request: ImportRequest): { accepted: Promise<AcceptedImport>; received: Promise<void> };
  /** Breaks off what comes in, at the next group, and takes nothing new. */
  stop(): void;
  /** Resolves when all that came in has been published, or left to the sweep. */
  drained(): Promise<void>;
}

/** Rejected rows that are listed: a file that is all wrong shall not fill the database. */
const maxListed = 100_000;

export function createImports(options: ImportsOptions): Imports {
  const {
    store,
    publisher,
    log,
    chunkSize = 500,
    retryAfterSeconds = 5,
    importLimit: limitBytes = 1024 ** 3,
    importMaxOrders: maxOrders = 5_000_000,
    importsAtOnce: atOnce = 4,
    importIdleMs: idleMs = 60_000,
    importPauseMs: pauseMs = 250,
    importGroupChunks: groupChunks = 10,
  } = options;
  const publishing = createPublishing({ store, publisher, log, chunkSize });
  const receiving = {
    store,
    publisher,
    publishing,
    log,
    retryAfterSeconds,
    chunkSize,
    groupChunks,
    maxOrders,
    maxListed,
    pauseMs,
  };
  const stopping = new AbortController();
  let running = 0;

  const unavailable = (detail: string) =>
    new Problem('unavailable', detail, { headers: { 'retry-after': String(retryAfterSeconds) } });

  async function receive(
    { sellerId, format, body, gzipped, ...request }: ImportRequest,
    progress: Upload['progress'],
  ): Promise<void> {
    stopping.signal.throwIfAborted();
    if (running >= atOnce) throw unavailable(`${atOnce} files come in already.`);
    running++;
    try {
      const noticeId = newNoticeId();
      const idempotencyKey = request.idempotencyKey ?? noticeId;
      const name = `import ${JSON.stringify([sellerId, idempotencyKey])}`;
      const mine = await withLock(store, name, (lost) =>
        receiveFile(
          {
            sellerId,
            noticeId,
            idempotencyKey,
            traceparent: request.traceparent,
            progress,
            signal: AbortSignal.any([stopping.signal, lost]),
            open: async (signal) => {
              const text = textOf(body, { gzipped, limitBytes, idleMs, signal });
              return format === 'csv' ? csvFile(text) : ndjsonFile(text);
            },
            way: () => ({
              ...choosePath(options, sellerId, noticeId),
              lane: laneFor(options.lanes, Number.POSITIVE_INFINITY),
            }),
          },
          receiving,
        ).catch((error: unknown) => {
          if (!lost.aborted) throw error;
          throw new InfrastructureError('the connection that held the lock of an import broke', {
            cause: error,
          });
        }),
      );
      if (!mine) throw stillRunning('This file is coming in already, with this Idempotency-Key.');
    } finally {
      running--;
    }
  }

  return {
    receive(request) {
      const startedAt = performance.now();
      const { sellerId } = request;
      let last: object = { sellerId };
      let received: Promise<void> = Promise.resolve();
      const accepted = new Promise<AcceptedImport>((resolve, reject) => {
        received = receive(
          request,
          ({ noticeId, path }, { orders, duplicates, rejectedRows, rows }, whole) => {
            last = { noticeId, sellerId, path, rows, orders, duplicates, rejectedRows };
            resolve({ noticeId, path, orders, duplicates, state: whole ? 'accepted' : 'receiving' });
          },
        );
        received.then(
          () => log.info({ ...last, ms: Math.round(performance.now() - startedAt) }, 'import received'),
          (error: unknown) => {
            if ('noticeId' in last)
              log.warn({ ...last, err: error }, 'an import broke off; the same file goes on with it');
            reject(error);
          },
        );
      });
      return { accepted, received };
    },
    stop: () => stopping.abort(unavailable('This server is being stopped.')),
    drained: () => publishing.drained(),
  };
}
