import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { checkMapping, chooseMapping, loadMappings, type Mapping } from '../../src/import/mapping.ts';
import { readAll } from './files.ts';

const columns = { orderId: 'id', sellerId: 'seller', promisedShipDate: 'day', status: 'state' };

function mapping(name: string, value: object): Mapping {
  const checked = checkMapping(name, value);
  assert.ok(!Array.isArray(checked), JSON.stringify(checked));
  return checked;
}

describe('column mappings', () => {
  it('all of config/mappings can be used', () => {
    assert.deepEqual(
      loadMappings().map(({ name }) => name),
      ['chodang', 'olist'],
    );
  });

  it('in the docs can be used', () => {
    const docs = readFileSync(new URL('../../docs/importing.md', import.meta.url), 'utf8');
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(docs) ?? [];
    assert.equal(mapping('example', parse(example) as object).encoding, 'euc-kr');
  });

  it('say everything that is wrong with them at once', () => {
    const { status: _, ...lacking } = columns;
    assert.deepEqual(checkMapping('x', { encoding: 'klingon', columns: { ...lacking, colour: 'c' } }), [
      'columns.status: missing',
      'columns.colour: expected one of orderId, sellerId, promisedShipDate, status, expectedShipDate, customerName, phone, locale, product',
      'encoding: expected a name such as utf-8 or euc-kr, got klingon',
    ]);
    assert.deepEqual(checkMapping('x', { adapter: 'magic', columns }), [
      'adapter: expected one of plain, dispatch-history, got magic',
    ]);
    assert.match(JSON.stringify(checkMapping('x', { colums: columns })), /columns/);
  });

  it('translate the values of a shop, in any case, and reject others', async () => {
    const status = { column: 'state', values: { NEW: 'open', Sent: 'shipped' } };
    const mappings = [
      mapping('shop', { delimiter: ';', columns: { ...columns, status, locale: { constant: 'en' } } }),
    ];
    const text = 'id;seller;day;state\n1;s;2026-11-25;new\n2;s;2026-11-25;SENT\n3;s;2026-11-25;gone';
    const { rows, rejects } = await readAll(text, { mappings, wanted: 'shop' });
    assert.deepEqual(
      rows.map(({ order }) => [order.orderId, order.status, order.locale]),
      [
        ['1', 'open', 'en'],
        ['2', 'shipped', 'en'],
      ],
    );
    assert.deepEqual(rejects, [
      {
        line: 4,
        reason: 'state: unknown status "gone": the mapping knows new, sent',
        row: '3;s;2026-11-25;gone',
      },
    ]);
  });

  it('are chosen by the header, if exactly one fits', () => {
    const one = mapping('one', { columns });
    const other = mapping('other', { columns: { ...columns, orderId: 'number' } });
    const alike = mapping('alike', { columns: { ...columns, phone: { column: 'tel', default: '' } } });
    assert.equal(chooseMapping([one, other], ['id', 'seller', 'day', 'state', 'more']), one);
    assert.throws(
      () => chooseMapping([one, alike], ['id', 'seller', 'day', 'state']),
      /Several mappings fit this file: one, alike. Choose one with --mapping/,
    );
    assert.equal(chooseMapping([one, alike], ['id', 'seller', 'day', 'state'], 'alike'), alike);
    assert.throws(
      () => chooseMapping([one, other], ['number', 'seller', 'day']),
      /No mapping fits.*number, seller, day\.\n {2}one: the file lacks id, state\n {2}other: the file lacks state\n/s,
    );
    assert.throws(
      () => chooseMapping([one, other], ['number'], 'two'),
      /no mapping two; there are: one, other/,
    );
  });
});
