import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { loadMappings } from '../../src/import/mapping.ts';
import { openOrders, readAll } from './files.ts';

const header = 'order_id,seller_id,promised_ship_date,status,customer_name,phone,locale,product';
const good = 'o-1,s-1,2026-11-25,open,김초당,010-1234-5678,ko,초당옥수수 10개';

describe('reading order files', () => {
  it('takes a row for an order', async () => {
    const { rows, rejects } = await readAll(`${header}\n${good}\n`);
    assert.deepEqual(rejects, []);
    assert.deepEqual(rows, [
      {
        order: {
          sellerId: 's-1',
          orderId: 'o-1',
          status: 'open',
          promisedShipDate: '2026-11-25',
          customerName: '김초당',
          phone: '+821012345678',
          locale: 'ko',
          product: '초당옥수수 10개',
        },
      },
    ]);
  });

  it('knows a gzipped file by its content, also if its first bytes come one by one', async () => {
    const plain = await readAll(`${header}\n${good}\n`);
    const zipped = await readAll(gzipSync(`${header}\n${good}\n`), { chunkSize: 1 });
    assert.deepEqual(zipped, plain);
  });

  it('says that a gzipped file is cut off', async () => {
    const half = gzipSync(`${header}\n${`${good}\n`.repeat(1_000)}`).subarray(0, 100);
    await assert.rejects(
      readAll(half),
      /standard input can't be read: it is gzipped, and its end is missing/,
    );
  });

  it('does without the columns that have defaults, whatever the order of the others', async () => {
    const { rows } = await readAll(
      '\ufeffpromised_ship_date, seller_id ,extra,order_id\n2026-11-25,s-1,x,o-1\n',
    );
    assert.deepEqual(rows, [
      {
        order: {
          sellerId: 's-1',
          orderId: 'o-1',
          status: 'open',
          promisedShipDate: '2026-11-25',
          customerName: '',
          phone: '',
          locale: 'ko',
          product: '',
        },
      },
    ]);
  });

  for (const [what, row, reason] of [
    ['no order id', ',s-1,2026-11-25,open,,,,', 'order_id: missing'],
    ['no seller id', 'o-1, ,2026-11-25,open,,,,', 'seller_id: missing'],
    ['no date', 'o-1,s-1,,open,,,,', 'promised_ship_date: missing'],
    [
      'a day that is none',
      'o-1,s-1,2026-02-30,open,,,,',
      'promised_ship_date: expected a day such as 2026-12-01, with or without a time, got "2026-02-30"',
    ],
    [
      'a day written otherwise',
      'o-1,s-1,11/25/2026,open,,,,',
      'promised_ship_date: expected a day such as 2026-12-01, with or without a time, got "11/25/2026"',
    ],
    [
      'an unknown status',
      'o-1,s-1,2026-11-25,lost,,,,',
      'status: unknown status "lost": expected one of open, canceled, shipped, delivered, claim',
    ],
    ['too few columns', 'o-1,s-1,2026-11-25', 'expected 8 columns, got 3'],
    ['too many columns', `${good},more`, 'expected 8 columns, got 9'],
    [
      'an id that is too long',
      `${'x'.repeat(101)},s-1,2026-11-25,open,,,,`,
      /^order_id: expected 1 to 100 characters/,
    ],
    ['a line break in an id', '"o\n1",s-1,2026-11-25,open,,,,', /^order_id: expected 1 to 100 characters/],
    ['a NUL', 'o-1,s-1,2026-11-25,open,a\0b,,,', 'customer_name: has a NUL, which no text may have'],
  ] as const)
    it(`rejects a row with ${what}, with its line number, and reads on`, async () => {
      const { rows, rejects } = await readAll(`${header}\n${good}\n${row}\n${good.replace('o-1', 'o-2')}\n`);
      assert.deepEqual(
        rows.map(({ order }) => order.orderId),
        ['o-1', 'o-2'],
      );
      assert.equal(rejects.length, 1);
      const [reject] = rejects;
      assert.deepEqual([reject?.line, reject?.row], [3, row]);
      if (typeof reason === 'string') assert.equal(reject?.reason, reason);
      else assert.match(reject?.reason ?? '', reason);
    });

  it('counts lines right behind a quoted field with line breaks', async () => {
    const long = 'o-1,s-1,2026-11-25,open,,,,"first\nsecond\r\nthird"';
    const { rows, rejects } = await readAll(`${header}\n${long}\nbad\n`);
    assert.equal(rows[0]?.order.product, 'first\nsecond\r\nthird');
    assert.deepEqual(rejects, [{ line: 5, reason: 'expected 8 columns, got 1', row: 'bad' }]);
  });

  it('rejects a row whose bytes are not of the encoding, and reads it with a mapping that names it', async () => {
    const korean = Buffer.concat([
      Buffer.from(`${header}\no-1,s-1,2026-11-25,open,`),
      Buffer.from([0xb1, 0xe8]), // 김, as EUC-KR writes it
      Buffer.from(',,,\n'),
    ]);
    const { rejects } = await readAll(korean);
    assert.deepEqual(
      rejects.map(({ line, reason }) => [line, reason]),
      [[2, "customer_name: has bytes that aren't of the file's encoding"]],
    );
    const mappings = loadMappings().map((mapping) => ({ ...mapping, encoding: 'euc-kr' }));
    const { rows } = await readAll(korean, { mappings, wanted: 'chodang' });
    assert.equal(rows[0]?.order.customerName, '김');
  });

  it('takes the day of a time, and of one with a zone the day in the shop', async () => {
    const days = [
      '2026.11.25',
      '2026-11-25 23:59',
      '2026-11-25T23:59:59.123',
      '2026-11-24T15:00:00Z',
      '2026-11-25T10:00:00+02:00',
    ];
    const { rows, rejects } = await readAll(
      `order_id,seller_id,promised_ship_date\n${days.map((day, i) => `o-${i},s-1,${day}`).join('\n')}`,
    );
    assert.deepEqual(rejects, []);
    assert.deepEqual(
      rows.map(({ order }) => order.promisedShipDate),
      days.map(() => '2026-11-25'),
    );
  });

  it('refuses an empty file, and a header with a column twice', async () => {
    await assert.rejects(readAll(''), /The file is empty/);
    const file = openOrders('order_id,seller_id,promised_ship_date,order_id\n');
    await assert.rejects(file, /two columns called order_id/);
  });
});
