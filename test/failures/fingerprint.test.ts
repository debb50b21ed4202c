import assert from 'node:assert/strict';
import { type Failed, kindOf, withoutIds } from '../../src/failures/fingerprint.ts';

const failed = (parts: Partial<Failed> = {}): Failed => ({
  step: 'delay',
  errorClass: 'TypeError',
  errorMessage: 'no date',
  errorStack: undefined,
  ...parts,
});
const stack = (...lines: string[]) =>
  ['TypeError: no date', ...lines.map((line) => `    at ${line}`)].join('\n');
const fingerprint = (parts: Partial<Failed>) => kindOf(failed(parts)).fingerprint;

describe('the kind of a failure', () => {
  it('is named by sixteen digits that stay the same', () => {
    assert.equal(fingerprint({}), kindOf(failed()).fingerprint);
    assert.match(fingerprint({}), /^[0-9a-f]{16}$/u);
  });

  it('differs by step, class, place and message', () => {
    const all = [
      {},
      { step: 'tms' },
      { errorClass: 'RangeError' },
      { errorMessage: 'no reason' },
      { errorStack: stack('judge (/app/src/rules/judge.ts:3:5)') },
    ].map(fingerprint);
    assert.equal(new Set(all).size, all.length);
  });

  const messages: [written: string, kept: string][] = [
    ['order A-17 of s-3 is odd', 'order # of # is odd'],
    ['notice 019ab0f0-5d1e-7cc3-98c4-3b7d1d9a4f11 has no date', 'notice # has no date'],
    ['connect ECONNREFUSED 127.0.0.1:5432', 'connect ECONNREFUSED #'],
    ['주문 초당-17의 날짜 2026-12-01', '주문 # 날짜 #'],
    ['expected 3 items, got 4\nand a second line 5', 'expected # items, got #'],
    ['no digits: nothing to take out', 'no digits: nothing to take out'],
    ['', ''],
  ];
  for (const [written, kept] of messages)
    it(`leaves ids and numbers out of "${written.split('\n')[0]}"`, () => {
      assert.equal(withoutIds(written), kept);
      assert.equal(withoutIds(kept), kept);
    });

  it('keeps a bounded part of a long message, quickly', () => {
    const began = performance.now();
    assert.equal(withoutIds('corn '.repeat(400_000)).length, 301);
    assert.equal(withoutIds('a1'.repeat(400_000)), '#');
    assert.equal(withoutIds('a'.repeat(1_000_000)).length, 301);
    assert.ok(performance.now() - began < 2_000);
  });

  const stacks: [what: string, lines: string[], frame: string | null][] = [
    [
      'of ours, not of a package and not of Node',
      [
        'Parser.parse (/app/node_modules/pg-protocol/dist/parser.js:36:11)',
        'new Date (<anonymous>)',
        'process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
        'async delayOrders (/app/src/store/delay.ts:44:9)',
        'async runBatch (/app/src/pipeline/step.ts:90:3)',
      ],
      'delayOrders (store/delay)',
    ],
    [
      'in dist/ as in src/',
      ['async delayOrders (file:///app/dist/store/delay.js:7:1)'],
      'delayOrders (store/delay)',
    ],
    ['without a name', ['/app/src/store/delay.ts:44:9'], 'store/delay'],
    ['of a method', ['Object.run (/app/src/actors/tms.ts:1:2)'], 'Object.run (actors/tms)'],
    ['below a folder with a blank', ['judge (/my app/src/rules/judge.ts:1:2)'], 'judge (rules/judge)'],
    ['nowhere in ours', ['x (/app/node_modules/pg/src/client.js:1:2)'], null],
  ];
  for (const [what, lines, frame] of stacks)
    it(`has the first place ${what}`, () => {
      assert.equal(kindOf(failed({ errorStack: stack(...lines) })).frame, frame);
    });

  it('does not change with the line', () => {
    assert.equal(
      fingerprint({ errorStack: stack('judge (/app/src/rules/judge.ts:3:5)') }),
      fingerprint({ errorStack: stack('judge (/srv/chodang/dist/rules/judge.js:99:1)') }),
    );
  });
});
