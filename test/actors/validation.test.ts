import assert from 'node:assert/strict';
import validation from '../../src/actors/validation.ts';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { Store } from '../../src/store/store.ts';
import {
  emptyTables,
  migratedDatabase,
  readLedger,
  statesOf,
  storeLedger,
  storeOrders,
} from '../support/database.ts';
import { theServices, toldGateway } from '../support/gateway.ts';
import { aNotice, anEntry } from '../support/makers.ts';

describe('the validation step', () => {
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => ({ store, drop } = await migratedDatabase()));
  after(() => drop());
  beforeEach(() => emptyTables(store));

  const run = async (...batch: ReturnType<typeof anEntry>[]) =>
    (await validation(theServices(store, toldGateway())).run(batch)).map(({ kind }) => kind);

  it('forwards what can be delayed, and rejects the rest with its reason', async () => {
    await storeOrders(store, [
      'o-1',
      { orderId: 'o-2', status: 'shipped' },
      { sellerId: 's-2', orderId: 'o-3' },
    ]);
    const notice = aNotice({ reason: 'ETC', detail: 'why' });
    const answers = await run(
      anEntry(notice, 'o-1'),
      anEntry(notice, 'o-2'),
      anEntry(notice, 'o-3'),
      anEntry(notice, { orderId: 'o-1x', newShipDate: '2026-12-24', reason: 'WEATHER', detail: '"\\' }),
    );
    assert.deepEqual(answers, ['forward', 'done', 'done', 'done']);
    assert.deepEqual(await statesOf(store, notice), {
      'o-1x': 'rejected ORDER_NOT_FOUND',
      'o-2': 'rejected ORDER_SHIPPED',
      'o-3': 'rejected ORDER_NOT_FOUND',
    });
    const rows = await readLedger(store);
    assert.ok(rows.every((row) => row.settled));
    assert.deepEqual(
      rows.map((row) => [row.orderId, row.oldShipDate, row.newShipDate]),
      [
        ['o-1x', null, '2026-12-24'],
        ['o-2', '2026-11-22', '2026-11-29'],
        ['o-3', null, '2026-11-29'],
      ],
    );
    const own = await store.query(
      "select reason, detail from ledger where order_id in ('o-1x', 'o-2') order by order_id",
    );
    assert.deepEqual(own, [
      { reason: 'WEATHER', detail: '"\\' },
      { reason: null, detail: null },
    ]);
  });

  it('judges nothing again that the ledger knows: delayed goes on, all else is done', async () => {
    const notice = aNotice();
    const states = ['delayed', 'rejected', 'notified', 'undeliverable', 'unconfirmed', 'failed'] as const;
    for (const state of states) await storeLedger(store, notice, state, state);
    // No such orders: judged, each would be rejected.
    const answers = await run(...states.map((state) => anEntry(notice, state)));
    assert.deepEqual(answers, ['forward', 'done', 'done', 'done', 'done', 'done']);
    assert.deepEqual(
      await statesOf(store, notice),
      Object.fromEntries(states.map((state) => [state, state])),
    );
  });

  it('writes nothing of a batch that breaks the statement, and blames the batch for it', async () => {
    const notice = aNotice();
    await assert.rejects(
      run(anEntry(notice, 'none'), anEntry(notice, { orderId: 'none-2', detail: 'a\0b' })),
      (error) => !(error instanceof InfrastructureError),
    );
    assert.deepEqual(await readLedger(store), []);
  });
});
