import { setTimeout as sleep } from 'node:timers/promises';
import { readAhead } from '../../import/read-ahead.ts';
import type { NoticeHeader } from '../../rules/notice.ts';
import { type ImportState, importOfKey, type KnownImport } from '../../store/imports.ts';
import type { IntakeChunk } from '../../store/intake.ts';
import type { Log, Store } from '../../store/store.ts';
import { Problem } from '../problem.ts';
import type { Publisher, Publishing } from '../publishing.ts';
import type { ImportFile } from './file.ts';
import { type Group, type GroupOptions, groupsOf, requireSameFile } from './groups.ts';
import type { OrderRow } from './row.ts';
import { keyReused, storeGroup, type Way } from './storeGroup.ts';

/** One upload of a file. */
export interface Upload {
  sellerId: string;
  idempotencyKey: string;
  /** The id of the notice, if this upload begins one. */
  noticeId: string;
  traceparent: string | undefined;
  /** Opens the file, to be read until `signal`; throws a problem if it is none. */
  open(signal: AbortSignal): Promise<ImportFile>;
  /** Decides how a new notice travels. */
  way(): Way;
  /** Is told once the first rows are safe, and then again and again. */
  progress(header: NoticeHeader, state: ImportState, received: boolean): void;
  /** Ends the upload at the next group; what it was aborted with is thrown. */
  signal: AbortSignal;
}

export interface ReceiveOptions
  extends Pick<GroupOptions, 'chunkSize' | 'groupChunks' | 'maxOrders' | 'maxListed' | 'pauseMs'> {
  store: Store;
  publisher: Publisher;
  publishing: Publishing;
  log: Log;
  retryAfterSeconds: number;
}

const readyCheckMs = 250;

/**
 * Receives a file to its end: stores some rows in one transaction, publishes them, and meanwhile reads the next.
 *
 * It reads no further while Postgres has not committed, RabbitMQ has not confirmed the group before, or can't be had:
 * at most two groups are held. Call it under the lock of the import, so that nobody else receives the same one.
 * Whatever it throws, all rows up to those that `imports` counts are safe, and the same file sent again goes on
 * behind them.
 */
export async function receiveFile(upload: Upload, options: ReceiveOptions): Promise<void> {
  const { store, publishing } = options;
  const known = await importOfKey(store, upload.sellerId, upload.idempotencyKey);
  if (known === 'another notice') throw keyReused();
  if (known?.received) {
    await requireSameFile(await upload.open(upload.signal), known);
    return upload.progress(known.header, known, true);
  }
  const way: Way = known ? { path: known.header.path, lane: known.lane, switchVersion: null } : upload.way();
  const publishes = way.path === 'actors';
  if (publishes) requireRoom(options);

  const reading = new AbortController();
  const signal = AbortSignal.any([upload.signal, reading.signal]);
  const groups = groupsOf(await upload.open(signal), {
    ...options,
    known: known && { header: known.header, state: stateOf(known) },
    headerFor: (row) => headerFor(upload, way, row),
    onKnown: () => known && upload.progress(known.header, known, false),
  });
  let safe = known && stateOf(known);
  let published: Promise<unknown> = Promise.resolve();
  for await (const group of readAhead(groups)) {
    try {
      await published;
      if (publishes && safe) await untilRoom(options, group.header, signal);
      else if (publishes) requireRoom(options);
      signal.throwIfAborted();
      await storeGroup(store, upload, way, group, safe);
    } catch (error) {
      // The next group is being read already: nobody wants it any more.
      reading.abort(error);
      throw error;
    }
    safe = group.state;
    upload.progress(group.header, group.state, group.last);
    if (publishes) published = publishing.publish(chunksOf(group, way));
  }
}

/**
 * Makes the header for all chunks of a notice: date and reason of its first row. It has no detail, since an order without
 * one would get it.
 */
function headerFor(
  { noticeId, sellerId, traceparent }: Upload,
  { path }: Way,
  { reason, newShipDate }: OrderRow,
): NoticeHeader {
  return {
    noticeId,
    sellerId,
    path,
    reason,
    newShipDate,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

const chunksOf = ({ header, chunks }: Group, { lane }: Way): IntakeChunk[] =>
  chunks.map((chunk) => ({ ...chunk, noticeId: header.noticeId, lane }));

const stateOf = ({ rows, chunks, orders, duplicates, rejectedRows, hash }: KnownImport): ImportState => ({
  rows,
  chunks,
  orders,
  duplicates,
  rejectedRows,
  hash,
});

/** Refuses a notice of which nothing is stored yet if it could not be published. */
function requireRoom({ publisher, retryAfterSeconds }: ReceiveOptions): void {
  const readiness = publisher.hasRoom();
  if (readiness.ok) return;
  throw new Problem('unavailable', 'Notices cannot be passed on right now, so this file was not taken.', {
    headers: { 'retry-after': String(retryAfterSeconds) },
    cause: new Error(readiness.why),
  });
}

/** Waits until chunks can be published. What could not be is left to the sweep. */
async function untilRoom(
  { publisher, log }: ReceiveOptions,
  { noticeId }: NoticeHeader,
  signal: AbortSignal,
): Promise<void> {
  for (let waits = 0; ; waits++) {
    signal.throwIfAborted();
    const readiness = publisher.hasRoom();
    if (readiness.ok) return;
    if (waits === 0) log.warn({ noticeId, why: readiness.why }, 'an import waits until it can be published');
    // Ends early if aborted, which the next round throws.
    await sleep(readyCheckMs, undefined, { signal }).catch(() => undefined);
  }
}
