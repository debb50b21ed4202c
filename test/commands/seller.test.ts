import assert from 'node:assert/strict';
import { pino } from 'pino';
import { migrate } from '../../src/store/migrate.ts';
import { sellerOf } from '../../src/store/sellers.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { chodang } from '../support/cli.ts';
import { allMigrations } from '../support/database.ts';
import { freshDatabase } from '../support/servers.ts';

describe('chodang seller and chodang migrate', function () {
  this.timeout(60_000); // each command is a process of its own
  let store: Store;
  let env: NodeJS.ProcessEnv;
  let drop: () => Promise<void>;

  beforeEach(async () => {
    const database = await freshDatabase();
    store = openStore({ url: database.url, poolSize: 2, log: pino({ level: 'silent' }) });
    env = { CHODANG_POSTGRES_URL: database.url };
    drop = database.drop;
  });
  afterEach(async () => {
    await store.close();
    await drop();
  });

  it("makes an API key that is the seller's, and another one next time", async () => {
    const first = (await chodang(['seller', 'add', '농장-17', '--json'], { env })).json() as Record<
      string,
      string
    >;
    assert.deepEqual(Object.keys(first), ['sellerId', 'apiKey']);
    assert.equal(await sellerOf(store, first['apiKey'] ?? ''), '농장-17');
    const { stdout, code } = await chodang(['seller', 'add', '농장-17'], { env });
    assert.equal(code, 0);
    const second = /has the API key (chd_\S+)\n/.exec(stdout)?.[1] ?? '';
    assert.notEqual(second, first['apiKey']);
    assert.deepEqual(await Promise.all([first['apiKey'], second].map((key) => sellerOf(store, key ?? ''))), [
      '농장-17',
      '농장-17',
    ]);
  });

  it('takes no id that orders could not have', async () => {
    const { code, stderr } = await chodang(['seller', 'add', ''], { env });
    assert.deepEqual(
      [code, stderr],
      [1, 'chodang: Expected a seller\'s id of 1 to 100 characters, got "".\n'],
    );
  });

  it('brings the schema up to date, once', async () => {
    const first = await chodang(['migrate', '--json'], { env });
    assert.deepEqual([first.code, first.json()], [0, { migrations: allMigrations }]);
    const second = await chodang(['migrate'], { env });
    assert.deepEqual([second.code, second.stdout], [0, 'The schema is up to date.\n']);
    assert.deepEqual(await migrate(store), []);
  });
});
