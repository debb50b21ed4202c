import assert from 'node:assert/strict';
import { noticesOfKeys } from '../../src/store/idempotency.ts';
import { insertNotices, type NewNotice, noticeProgress, noticesOf } from '../../src/store/notices.ts';
import { addSellers } from '../../src/store/sellers.ts';
import { type Store, transaction } from '../../src/store/store.ts';
import { migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

describe('The notices', () => {
  let store: Store;
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  before(async () => {
    database = await migratedDatabase();
    ({ store } = database);
    await addSellers(store, ['s-1', 's-2']);
  });
  after(() => database.drop());

  async function stored(parts: Partial<NewNotice> = {}): Promise<string> {
    const notice: NewNotice = {
      noticeId: aNoticeId(),
      sellerId: 's-1',
      path: 'actors',
      lane: 'express',
      switchVersion: null,
      reason: 'WEATHER',
      newShipDate: '2026-11-29',
      orders: 2,
      duplicates: 0,
      ...parts,
    };
    await transaction(store, (tx) => insertNotices(tx, [notice]));
    return notice.noticeId;
  }
  const ledger = (noticeId: string, orderId: string, state: string, settledAt: string | null) =>
    store.query(
      `insert into ledger (notice_id, seller_id, order_id, state, new_ship_date, settled_at)
       values ($1, 's-1', $2, $3::ledger_state, '2026-11-29', $4)`,
      [noticeId, orderId, state, settledAt],
    );

  it('are found by the key they were posted with, each seller his own', async () => {
    const bodyHash = Buffer.alloc(32, 1);
    const noticeId = await stored({ idempotencyKey: 'k', bodyHash, duplicates: 3 });
    const keys = [
      ['s-2', 'k'],
      ['s-1', 'k'],
      ['s-1', 'K'],
    ].map(([sellerId = '', idempotencyKey = '']) => ({ sellerId, idempotencyKey }));
    const found = { noticeId, path: 'actors', orders: 2, duplicates: 3, bodyHash };
    assert.deepEqual(await noticesOfKeys(store, keys), [undefined, found, undefined]);
  });

  it('are written by the hundred as one by one, whatever is in them', async () => {
    const details = [undefined, '', 'null', '{}', '"', '\\', 'a\nb', "',", '주문 🌽'];
    const notices = details.map(
      (detail, at): NewNotice => ({
        noticeId: aNoticeId(),
        sellerId: at % 2 === 0 ? 's-3' : 's-4',
        path: 'actors',
        lane: 'bulk',
        switchVersion: at % 2 === 0 ? null : at,
        reason: 'ETC',
        detail,
        newShipDate: '2026-11-29',
        orders: at,
        duplicates: 0,
        idempotencyKey: at % 3 === 0 ? undefined : `many-${at}`,
        bodyHash: [undefined, Buffer.alloc(0), Buffer.from([0, 34, 92])][at % 3],
        receiving: at % 4 === 0,
      }),
    );
    await transaction(store, (tx) => insertNotices(tx, notices));
    const rows = await store.query<NewNotice>(
      `select notice_id "noticeId", seller_id "sellerId", path, lane, switch_version "switchVersion", reason, detail,
              new_ship_date::text "newShipDate", orders, duplicates, idempotency_key "idempotencyKey",
              body_hash "bodyHash", received_at is null receiving
       from notices where notice_id = any($1) order by notice_id`,
      [notices.map(({ noticeId }) => noticeId)],
    );
    const asStored = notices.map(({ detail = null, idempotencyKey = null, bodyHash = null, ...notice }) => ({
      ...notice,
      detail,
      idempotencyKey,
      bodyHash,
    }));
    assert.deepEqual(
      rows,
      asStored.toSorted((a, b) => (a.noticeId < b.noticeId ? -1 : 1)),
    );
  });

  it('can never share a key, even without its lock', async () => {
    const bodyHash = Buffer.alloc(32, 1);
    await stored({ idempotencyKey: 'once', bodyHash });
    await assert.rejects(stored({ idempotencyKey: 'once', bodyHash }), { code: '23505' });
  });

  it('are settled when no order is missing or only delayed, at the time of the last', async () => {
    const noticeId = await stored();
    await ledger(noticeId, 'o-1', 'notified', '2026-11-22T02:00:00Z');
    assert.equal((await noticeProgress(store, 's-1', noticeId))?.state, 'settling');
    await ledger(noticeId, 'o-2', 'failed', '2026-11-22T01:00:00Z');
    const progress = await noticeProgress(store, 's-1', noticeId);
    assert.equal(progress?.state, 'settled');
    assert.deepEqual(progress.settledAt, new Date('2026-11-22T02:00:00Z'));
    assert.equal(await noticeProgress(store, 's-2', noticeId), undefined);
  });

  it('are listed newest first', async () => {
    const ids = [await stored({ sellerId: 's-2' }), await stored({ sellerId: 's-2' })].toReversed();
    const listed = await noticesOf(store, 's-2', { limit: 10 });
    assert.deepEqual(
      listed.map(({ noticeId }) => noticeId),
      ids,
    );
    const [older] = await noticesOf(store, 's-2', { after: ids[0], limit: 10 });
    assert.equal(older?.noticeId, ids[1]);
  });
});
