import assert from 'node:assert/strict';
import { pino } from 'pino';
import failures from '../../src/actors/failures.ts';
import type { FailedMessage } from '../../src/pipeline/failed.ts';
import { listFailures } from '../../src/store/failures.ts';
import { migratedDatabase, statesOf } from '../support/database.ts';
import { aNotice } from '../support/makers.ts';

describe('the failures actor', () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  before(async () => {
    database = await migratedDatabase();
  });
  after(() => database.drop());

  const header = aNotice();
  const failed = (messageId: string, orderId: string, attempt = 3): FailedMessage => ({
    step: 'delay',
    lane: 'bulk',
    type: undefined,
    retry: undefined,
    messageId,
    errorClass: 'Error',
    errorMessage: 'no',
    errorStack: undefined,
    attempt,
    publishedAt: undefined,
    failedAt: new Date(),
    headers: {},
    content: Buffer.from(JSON.stringify({ chunks: [{ header, items: [{ orderId }] }] })),
  });

  it('records a message whose order no index can take without its order, and holds up none of its neighbours', async () => {
    const counted: string[] = [];
    const record = failures({
      store: database.store,
      log: pino({ level: 'silent' }),
      recorded: (step) => counted.push(step),
    });
    // Beyond a third of a page a key can't be indexed; random, since Postgres would compress it.
    const tooLong = Array.from({ length: 9_000 }, () => Math.random().toString(36).slice(2, 3)).join('');
    const messages = [failed('m-1', 'o-1'), failed('m-2', tooLong), failed('m-3', 'o-3')];
    await record(messages);
    await record(messages); // delivered once more
    const kept = await listFailures(database.store);
    assert.deepEqual(Object.fromEntries(kept.map(({ messageId, orders }) => [messageId, orders])), {
      'm-1': 1,
      'm-2': 0,
      'm-3': 1,
    });
    assert.deepEqual(await statesOf(database.store, header), { 'o-1': 'failed', 'o-3': 'failed' });
    assert.equal(counted.length, 6);
  });

  it('looks for orders of notices in what steps gave up, and not in what the shop sent', async () => {
    const record = failures({ store: database.store, log: pino({ level: 'silent' }), recorded: () => {} });
    await record([failed('m-4', 'o-4'), { ...failed('m-5', 'o-5'), step: 'orders' }]);
    const states = await statesOf(database.store, header);
    assert.deepEqual([states['o-4'], states['o-5']], ['failed', undefined]);
  });
});
