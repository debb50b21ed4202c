import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { parseRecords } from '../../src/import/parse.ts';
import { type RawRecord, splitRecords } from '../../src/import/records.ts';

async function split(text: string, chunkSize = 5): Promise<RawRecord[]> {
  const chunks = text.match(new RegExp(`[^]{1,${chunkSize}}`, 'g')) ?? [];
  const all: RawRecord[] = [];
  for await (const records of splitRecords(Readable.from(chunks), ',')) all.push(...records);
  return all;
}

const told = (records: RawRecord[]) => records.map(({ line, text }) => [line, text]);

describe('cutting a CSV into records', () => {
  it('numbers lines from 1, whatever ends them, and leaves empty ones out', async () => {
    assert.deepEqual(told(await split('a,b\r\nc,d\n\n  \ne,f')), [
      [1, 'a,b'],
      [2, 'c,d'],
      [5, 'e,f'],
    ]);
  });

  it('keeps a quoted field with line breaks in one record, and the numbers after it right', async () => {
    assert.deepEqual(told(await split('a,"b\r\nb ""x""\n",c\r\nd,e,f\n')), [
      [1, 'a,"b\r\nb ""x""\n",c'],
      [4, 'd,e,f'],
    ]);
  });

  it('takes a quote inside an unquoted field for text', async () => {
    assert.deepEqual(told(await split('5" pipe,a\n6" pipe,b\n')), [
      [1, '5" pipe,a'],
      [2, '6" pipe,b'],
    ]);
  });

  it('gives up only the line whose quote is never closed', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `row,${i}`);
    const records = await split(`first,1\n"never closed,2\n${many.join('\n')}\nlast,3`, 65_536);
    assert.equal(records.length, 20_003);
    assert.deepEqual(records[1], {
      line: 2,
      text: '"never closed,2',
      problem: 'a quote is opened and never closed',
    });
    assert.deepEqual(told(records.slice(-1)), [[20_003, 'last,3']]);
  });

  it('gives up the last line if its quote is never closed', async () => {
    const records = await split('a,b\n"c,d\ne,f');
    assert.deepEqual(
      records.map(({ line, problem }) => [line, problem]),
      [
        [1, undefined],
        [2, 'a quote is opened and never closed'],
        [3, undefined],
      ],
    );
  });

  it('refuses what has no lines at all', async () => {
    await assert.rejects(
      split('x'.repeat(1_200_000), 100_000),
      /Line 1 goes on for over a million characters/,
    );
  });

  it('agrees with the CSV parser on where records end', async () => {
    const odd = [
      'a,b',
      '"a","b"',
      '"a""","b"',
      '"a"x,b',
      'a"b"c,"d\ne"',
      '"",""',
      '"a" ,b',
      'a,"b,\n,"",c"',
      '"x"y"z,w',
    ];
    const records = await split(odd.join('\n'), 3);
    assert.deepEqual(
      records.map(({ text }) => text),
      odd,
    );
    for (const fields of parseRecords(records, ',')) assert.equal(Array.isArray(fields) && fields.length, 2);
  });
});
