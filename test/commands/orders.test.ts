import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chodang } from '../support/cli.ts';
import { migratedDatabase } from '../support/database.ts';
import { temporaryFolder } from '../support/servers.ts';

const header = 'order_id,seller_id,promised_ship_date,status,product';
const rows = [
  'o-1,s-1,2026-11-25,open,"corn, ""초당"""',
  'o-2,s-1,never,open,',
  'o-3,s-2,2026-11-25,open,"a\nb"',
  ',,,,',
];
const content = `${header}\n${rows.join('\n')}\n`;

describe('chodang orders import', function () {
  this.timeout(60_000); // each command is a process of its own
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  let folder: ReturnType<typeof temporaryFolder>;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    database = await migratedDatabase();
    folder = temporaryFolder();
    env = { CHODANG_POSTGRES_URL: database.url };
  });
  afterEach(async () => {
    folder.drop();
    await database.drop();
  });

  const run = (args: string[], input?: string | Buffer) =>
    chodang(['orders', 'import', ...args], { env, cwd: folder.dir, ...(input !== undefined && { input }) });
  const stored = () => database.store.rows('select seller_id, order_id, product from orders order by 2');

  it('imports what can be used, and writes the rest to a file, with line numbers, reasons and rows', async () => {
    writeFileSync(join(folder.dir, 'shop.csv.gz'), gzipSync(content));
    const { code, json, stderr } = await run(['shop.csv.gz', '--json']);
    assert.equal(stderr, '');
    assert.equal(code, 2, 'some rows were rejected');
    const { seconds, ...counts } = json() as { seconds: number };
    assert.ok(seconds > 0);
    assert.deepEqual(counts, {
      file: 'shop.csv.gz',
      mapping: 'chodang',
      rows: 4,
      imported: 2,
      rejected: 2,
      sellers: 2,
      rejectsFile: 'shop.csv.gz.rejects.csv',
    });
    assert.deepEqual(await stored(), [
      ['s-1', 'o-1', 'corn, "초당"'],
      ['s-2', 'o-3', 'a\nb'],
    ]);
    const rejects = join(folder.dir, 'shop.csv.gz.rejects.csv');
    assert.equal(
      readFileSync(rejects, 'utf8'),
      'line,reason,row\n' +
        '3,"promised_ship_date: expected a day such as 2026-12-01, with or without a time, got ""never""","o-2,s-1,never,open,"\n' +
        '6,"seller_id: missing",",,,,"\n',
    );
    assert.equal(statSync(rejects).mode & 0o077, 0, 'others can read the rejects');
  });

  it('reads standard input, ends with 0 if all is well, and then makes no file of rejects', async () => {
    const { code, stdout } = await run(['-'], `${header}\n${rows[0]}\n`);
    assert.equal(code, 0);
    assert.match(stdout, /^1 orders of 1 sellers imported from - \(mapping chodang\), in [\d.]+ s/);
    assert.deepEqual(await stored(), [['s-1', 'o-1', 'corn, "초당"']]);
    assert.ok(!existsSync(join(folder.dir, 'orders.csv.rejects.csv')));
  });

  it('says what is wrong, and ends with 1, where nothing can be imported', async () => {
    const none = await run(['nowhere.csv']);
    assert.deepEqual([none.code, none.stderr], [1, 'chodang: There is no file nowhere.csv.\n']);
    const unfit = await run(['-'], 'a,b\n1,2\n');
    assert.equal(unfit.code, 1);
    assert.match(
      unfit.stderr,
      /No mapping fits this file.*chodang: the file lacks order_id, seller_id, promised_ship_date/s,
    );
    const unknown = await run(['-', '--mapping', 'nobody'], content);
    assert.match(unknown.stderr, /There is no mapping nobody; there are: chodang, olist/);
  });

  it('says how far it got when the database goes away', async () => {
    env = { CHODANG_POSTGRES_URL: database.url.replace(/\/[^/]+$/, '/nobody') };
    const { code, stderr } = await run(['-'], content);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Postgres can't be had: database "nobody" does not exist\nThe import broke off after 0 orders/,
    );
  });
});
