import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { clock } from '../../src/doctor/postgres.ts';
import { allMigrations, emptyTables, migratedDatabase, storeIntake } from '../support/database.ts';
import { aNotice } from '../support/makers.ts';
import { freshDatabase } from '../support/servers.ts';
import { found, says, theCheck, troubles } from './patient.ts';

/** Settings that know nothing but a Postgres: the other parts are left out. */
const settingsFor = (url: string): Config => {
  const settings = loadConfig({ env: {} });
  settings.postgres.url = url;
  return settings;
};

describe('the doctor on Postgres', () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  let settings: Config;
  const look = () => found(settings, 'postgres');
  /** Sets something for all who connect to the database from now on, whatever they may write by now. */
  const alter = (what: string) => {
    const name = new URL(database.url).pathname.slice(1);
    return database.store.query(`begin read write; alter database ${name} ${what}; commit`);
  };
  before(async () => {
    database = await migratedDatabase();
    settings = settingsFor(database.url);
  });
  beforeEach(() => emptyTables(database.store));
  after(() => database.drop());

  it('finds a migrated database well', async () => {
    const checks = await look();
    assert.deepEqual(troubles(checks), []);
    says(checks, 'server', 'ok', /^Postgres 1\d/);
    says(checks, 'migrations', 'ok', new RegExp(`all ${allMigrations.length} migrations`));
    says(checks, 'clock', 'ok', /the clock of this machine/);
  });

  it('says of a database without tables that nothing was migrated, and no SQL', async () => {
    const empty = await freshDatabase();
    const checks = await found(settingsFor(empty.url));
    says(checks, 'migrations', 'wrong', /none was run: there are no tables/, /"chodang migrate"/);
    for (const name of ['intake', 'legacy', 'failures', 'alerts', 'operations'])
      says(checks, name, 'warn', /its table is not there yet/, /"chodang migrate"/);
    assert.doesNotMatch(JSON.stringify(checks), /relation|does not exist/);
    await empty.drop();
  });

  it('names a migration that was not run, and one that this program does not know', async () => {
    const last = allMigrations.at(-1)!;
    await database.store.query(`update migrations set name = '9999_from_later' where name = $1`, [last]);
    const migrations = (await look()).filter(({ check }) => check === 'migrations');
    assert.deepEqual(
      migrations.map(({ status, found }) => [status, found]),
      [
        ['wrong', `not run yet: ${last}`],
        ['warn', 'this program does not know 9999_from_later: a newer one has been here'],
      ],
    );
    await database.store.query(`update migrations set name = $1 where name = '9999_from_later'`, [last]);
  });

  it('finds commits that a crash would lose', async () => {
    await alter('set synchronous_commit = off');
    says(await look(), 'durability', 'wrong', /synchronous_commit is off/, /set synchronous_commit = on/);
    await alter('set synchronous_commit = local');
    says(await look(), 'durability', 'ok', /synchronous_commit is local/);
    await alter('reset synchronous_commit');
  });

  it('finds a database that takes no writes', async () => {
    await alter('set default_transaction_read_only = on');
    says(await look(), 'writable', 'wrong', /every write is refused/, /reset default_transaction_read_only/);
    await alter('reset default_transaction_read_only');
    says(await look(), 'writable', 'ok', /takes writes/);
  });

  it('warns when another process would not get its connections', async () => {
    settings.postgres.poolSize = 10_000;
    says(await look(), 'connections', 'warn', /may take 10000/, /max_connections/);
    settings.postgres.poolSize = 12;
  });

  it('finds a password that is refused', async () => {
    const url = new URL(database.url);
    url.username = 'nobody_we_know';
    const checks = await found(settingsFor(url.href), 'postgres');
    says(checks, 'server', 'wrong', /nobody_we_know/, /correct CHODANG_POSTGRES_URL, and restart/);
  });

  for (const [path, name, age, young, remedy] of [
    ['actors', 'intake', '3 min', '1 min', /start --only api/],
    ['legacy', 'legacy', '12 min', '10 min', /start --only legacy/],
  ] as const)
    it(`finds chunks on path ${path} that nobody takes`, async () => {
      await storeIntake(database.store, aNotice({ path }), [[{ orderId: 'o-1' }], [{ orderId: 'o-2' }]]);
      const aged = (interval: string) =>
        database.store.query('update intake set created_at = now() - $1::interval', [interval]);
      await aged(young);
      says(await look(), name, 'ok', /./);
      await aged(age);
      says(
        await look(),
        name,
        'wrong',
        new RegExp(`^2 chunks of notices \\(the oldest ${age} old\\) have`),
        remedy,
      );
      await database.store.query('update intake set done_at = now()');
      says(await look(), name, 'ok', /./);
    });

  it('only warns of a legacy chunk that is being tried', async () => {
    await storeIntake(database.store, aNotice({ path: 'legacy' }), [[{ orderId: 'o-1' }]]);
    await database.store.query("update intake set created_at = now() - interval '1 hour', attempts = 2");
    says(await look(), 'legacy', 'warn', /^1 chunk of notices \(the oldest 1 h old\) has not been settled/);
  });

  it('judges clocks', () => {
    for (const [skewMs, status] of [
      [0, 'ok'],
      [-900, 'ok'],
      [1_500, 'warn'],
      [-9_000, 'warn'],
      [11_000, 'wrong'],
      [-3_600_000, 'wrong'],
    ] as const)
      assert.equal(clock(skewMs).status, status);
    assert.match(clock(-3_600_000).found, /Postgres is 1 h behind the clock of this machine/);
    assert.equal(theCheck([{ part: 'postgres', ...clock(2_000) }], 'clock').status, 'warn');
  });
});
