import { InfrastructureError } from '../../pipeline/errors.ts';
import { type IdempotencyKey, tryIdempotencyLocks } from '../../store/idempotency.ts';
import {
  advanceImport,
  type ImportState,
  importOfKey,
  insertImport,
  insertRejectedRows,
} from '../../store/imports.ts';
import { insertChunks } from '../../store/intake.ts';
import { insertNotices } from '../../store/notices.ts';
import { type Store, type Tx, transaction } from '../../store/store.ts';
import { Problem } from '../problem.ts';
import type { Group } from './groups.ts';

/** How a notice travels, for life. */
export interface Way {
  path: string;
  lane: string;
  /** Version of the switch that decided the path; null if none did. */
  switchVersion: number | null;
}

/**
 * Stores a group in one transaction, and with the first one, when nothing is `safe` yet, the notice.
 *
 * Throws the problems `still-running` if somebody else went on with the import, `idempotency-key-reused`, and
 * `outcome-unknown` if the connection broke during the commit; an `InfrastructureError` if Postgres can't be had.
 */
export async function storeGroup(
  store: Store,
  key: IdempotencyKey,
  way: Way,
  group: Group,
  safe: ImportState | undefined,
): Promise<void> {
  const { header, chunks, rejected, state, last } = group;
  const { noticeId } = header;
  let committing = false;
  const write = async (tx: Tx) => {
    committing = false;
    if (!safe) await begin(tx, key, way, group);
    else if (!(await advanceImport(tx, noticeId, safe.rows, state, { received: last })))
      throw stillRunning('Another request has gone on with this file.');
    await insertChunks(tx, [{ noticeId, ...way, chunks }]);
    await insertRejectedRows(tx, noticeId, rejected);
    committing = true;
  };
  await transaction(store, write).catch((error: unknown) => {
    if (!committing || !(error instanceof InfrastructureError)) throw error;
    throw new Problem('outcome-unknown', 'The connection to our database broke during the commit.', {
      cause: error,
    });
  });
}

/** Writes the notice. Another request with the same key, if it is no import, holds no lock of ours: so it looks again. */
async function begin(tx: Tx, key: IdempotencyKey, way: Way, { header, state, last }: Group): Promise<void> {
  const { sellerId, idempotencyKey } = key;
  const [locked] = await tryIdempotencyLocks(tx, [key]);
  if (!locked) throw stillRunning('Another request with this Idempotency-Key has no answer yet.');
  if ((await importOfKey(tx, sellerId, idempotencyKey)) !== undefined) throw keyReused();
  const { noticeId, reason, newShipDate } = header;
  const notice = {
    noticeId,
    sellerId,
    ...way,
    reason,
    newShipDate,
    orders: state.orders,
    duplicates: state.duplicates,
    idempotencyKey,
    // Equal to no hash of a body: what an import's file must be is in `imports`.
    bodyHash: Buffer.alloc(0),
    receiving: !last,
  };
  await insertNotices(tx, [notice]);
  await insertImport(tx, header, state);
}

/** Says that another upload of the same file is under way. */
export const stillRunning = (detail: string) =>
  new Problem('still-running', detail, { headers: { 'retry-after': '1' } });

/** Says that the key belongs to a notice that is no import. */
export const keyReused = () =>
  new Problem(
    'idempotency-key-reused',
    'A notice that is no import was posted with this Idempotency-Key. Send a new key for a new file.',
  );
