import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import { emptyTables, migratedDatabase } from '../support/database.ts';
import { found, says, troubles } from './patient.ts';

describe('the doctor on failures', () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  before(async () => {
    database = await migratedDatabase();
  });
  beforeEach(() => emptyTables(database.store));
  after(() => database.drop());
  const sql = (text: string) => database.store.query(text);
  const look = () => {
    const settings = loadConfig({ env: {} });
    settings.postgres.url = database.url;
    return found(settings, 'failures');
  };

  it('finds none well', async () => {
    assert.deepEqual(troubles(await look()), []);
  });

  it('counts those that are open, and no others', async () => {
    await sql(`
      insert into failures (step, message_id, lane, error_class, error_message, attempt, failed_at, headers, body, notice_ids, orders, state)
      select 'tms', 'm-' || n, 'bulk', 'TypeError', 'corn', 3, '2026-11-22T03:00:00Z', '{}', '', '{}', 1, state
      from unnest(array['open', 'open', 'resolved', 'discarded', 'retrying']) with ordinality as f (state, n)`);
    says(
      await look(),
      'failures',
      'warn',
      /^2 failures are open, in 0 groups; the last one failed at 2026-11-22T03:00:00/,
      /"chodang failed groups"/,
    );
  });

  it('finds alerts that reached nobody, with channel and error', async () => {
    await sql(`
      insert into alert_deliveries (bundle_id, channel, body, attempts, delivered_at, gave_up_at, error) values
        (gen_random_uuid(), 'slack', '', 1, now(), null, null),
        (gen_random_uuid(), 'slack', '', 2, null, null, 'once or twice is no news'),
        (gen_random_uuid(), 'slack', '', 4, null, null, '503'),
        (gen_random_uuid(), 'pager', '', 9, null, now(), 'no such host')`);
    const [alert, other, ...more] = (await look()).filter(({ check }) => check === 'alerts');
    assert.deepEqual(more, []);
    assert.deepEqual(
      [alert, other].map((each) => [each?.status, each?.found]),
      [
        [
          'wrong',
          '1 bundle of alerts did not arrive, and nobody tries any more; channel "pager": no such host',
        ],
        ['warn', '1 bundle of alerts did not arrive yet, after up to 4 tries; channel "slack": 503'],
      ],
    );
  });

  it('finds an operation that does not get on', async () => {
    await sql(`
      insert into failure_operations (kind, state, who, begun_at) values
        ('retry', 'running', 'kim', now() - interval '15 minutes'),
        ('retry', 'running', 'lee', now() - interval '15 minutes'),
        ('retry', 'running', 'park', now() - interval '5 minutes'),
        ('retry', 'done', 'choi', now() - interval '15 minutes')`);
    await sql(`
      insert into failure_operation_items (operation_id, failure_id, state, published_at)
      select operation_id, 1, 'sent', now() - case who when 'kim' then interval '12 minutes' else interval '1 minute' end
      from failure_operations where who in ('kim', 'lee')`);
    says(
      await look(),
      'operations',
      'warn',
      /^retry \d+ of kim began 15 min ago, and published nothing in the last 10 min$/,
      /start --only failures/,
    );
  });
});
