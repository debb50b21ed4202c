import assert from 'node:assert/strict';
import { csvLine } from '../../src/http/csv.ts';

describe('A line of CSV', () => {
  for (const [fields, line] of [
    [['a', null, ''], 'a,,\r\n'],
    [['a,b', 'say "hi"', 'two\nlines'], '"a,b","say ""hi""","two\nlines"\r\n'],
    [['=1+1', '+82', '-1', '@x', '\tx', '\rx'], `'=1+1,'+82,'-1,'@x,'\tx,"'\rx"\r\n`],
    [['=HYPERLINK("http://x","y")'], `"'=HYPERLINK(""http://x"",""y"")"\r\n`],
    [['1=1', '주문-1'], '1=1,주문-1\r\n'],
  ] as const)
    it(`of ${JSON.stringify(fields)} is ${JSON.stringify(line)}`, () => {
      assert.equal(csvLine(fields), line);
    });
});
