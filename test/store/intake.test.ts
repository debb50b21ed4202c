import assert from 'node:assert/strict';
import { tryIdempotencyLocks } from '../../src/store/idempotency.ts';
import { insertChunks, markChunksDone, waitingChunks } from '../../src/store/intake.ts';
import { insertNotices } from '../../src/store/notices.ts';
import { addSellers } from '../../src/store/sellers.ts';
import { type Store, transaction } from '../../src/store/store.ts';
import { migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

describe('The intake', () => {
  let store: Store;
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  before(async () => {
    database = await migratedDatabase();
    ({ store } = database);
    await addSellers(store, ['s-1']);
  });
  after(() => database.drop());
  beforeEach(() => store.query('truncate intake, notices'));

  async function aStoredNotice(chunks: string[], path = 'actors'): Promise<string> {
    const noticeId = aNoticeId();
    const notice = {
      noticeId,
      sellerId: 's-1',
      path,
      lane: 'bulk',
      switchVersion: null,
      reason: 'WEATHER',
    } as const;
    await transaction(store, async (tx) => {
      await insertNotices(tx, [{ ...notice, newShipDate: '2026-11-29', orders: 1, duplicates: 0 }]);
      await insertChunks(tx, [{ ...notice, chunks: chunks.map((chunk, chunkNo) => ({ chunkNo, chunk })) }]);
    });
    return noticeId;
  }
  const page = { path: 'actors', olderThanMs: 0, pageSize: 10 };

  it('gives chunks back as they were, in order', async () => {
    const chunks = ['{"a":"\\n\\\\ \\" 주문 🌽 \u2028"}', '{"b":"\'\',{}%"}', '{}'];
    const noticeId = await aStoredNotice(chunks);
    assert.deepEqual(
      (await waitingChunks(store, page)).map(({ noticeId, chunkNo, lane, chunk }) => ({
        noticeId,
        chunkNo,
        lane,
        chunk,
      })),
      chunks.map((chunk, chunkNo) => ({ noticeId, chunkNo, lane: 'bulk', chunk })),
    );
  });

  it('takes chunks of several notices at once, from any number on, and none of none', async () => {
    const notices = [
      { noticeId: aNoticeId(), path: 'actors', lane: 'bulk', chunks: [] },
      {
        noticeId: aNoticeId(),
        path: 'actors',
        lane: 'express',
        chunks: [
          { chunkNo: 7, chunk: '{"a":1}' },
          { chunkNo: 8, chunk: '{}' },
        ],
      },
      { noticeId: aNoticeId(), path: 'legacy', lane: 'bulk', chunks: [{ chunkNo: 0, chunk: '"\\"' }] },
    ];
    await transaction(store, async (tx) => {
      await insertChunks(tx, notices);
      await insertChunks(tx, []);
    });
    const rows = await store.query(
      'select notice_id "noticeId", path, lane, chunk_no "chunkNo", chunk from intake order by path, chunk_no',
    );
    const expected = notices.flatMap(({ chunks, ...notice }) =>
      chunks.map((chunk) => ({ ...notice, ...chunk })),
    );
    assert.deepEqual(rows, expected);
  });

  it('pages through chunks of one instant without losing or repeating one', async () => {
    await aStoredNotice(['0', '1', '2', '3', '4']);
    const seen: string[] = [];
    let after: Awaited<ReturnType<typeof waitingChunks>>[number] | undefined;
    do {
      const chunks = await waitingChunks(store, { ...page, pageSize: 2, after });
      seen.push(...chunks.map(({ chunk }) => chunk));
      after = chunks.at(-1);
    } while (after !== undefined);
    assert.deepEqual(seen, ['0', '1', '2', '3', '4']);
  });

  it('marks chunks as done, once, and only those', async () => {
    const noticeId = await aStoredNotice(['0', '1', '2']);
    const times = async () =>
      (
        await store.query<{ doneAt: Date | null }>('select done_at "doneAt" from intake order by chunk_no')
      ).map(({ doneAt }) => doneAt?.getTime());
    await markChunksDone(store, [
      { noticeId, chunkNo: 0 },
      { noticeId, chunkNo: 2 },
    ]);
    const [first, between, last] = await times();
    assert.ok(first !== undefined && between === undefined && last !== undefined);
    await markChunksDone(store, [{ noticeId, chunkNo: 0 }]);
    assert.equal((await times())[0], first);
    assert.deepEqual(
      (await waitingChunks(store, page)).map(({ chunkNo }) => chunkNo),
      [1],
    );
  });

  it('may be marked by many at once, in any order', async () => {
    const noticeId = await aStoredNotice(Array.from({ length: 200 }, (_, n) => String(n)));
    const keys = Array.from({ length: 200 }, (_, chunkNo) => ({ noticeId, chunkNo }));
    await Promise.all(
      Array.from({ length: 8 }, (_, n) => markChunksDone(store, n % 2 === 0 ? keys : keys.toReversed())),
    );
    assert.deepEqual(await waitingChunks(store, page), []);
  });

  it('gives locks on idempotency keys to one transaction, and to the next when it has ended', async () => {
    const keys = [
      { sellerId: 's-1', idempotencyKey: 'k' },
      { sellerId: 's-1', idempotencyKey: 'another' },
      { sellerId: 's-2', idempotencyKey: 'k' },
    ];
    const lockThem = () => transaction(store, (tx) => tryIdempotencyLocks(tx, keys));
    await transaction(store, async (tx) => {
      assert.deepEqual(await tryIdempotencyLocks(tx, keys.slice(0, 1)), [true]);
      assert.deepEqual(await lockThem(), [false, true, true]);
    });
    assert.deepEqual(await lockThem(), [true, true, true]);
  });
});
