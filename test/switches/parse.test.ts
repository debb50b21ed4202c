import assert from 'node:assert/strict';
import { parseRule } from '../../src/switches/parse.ts';
import type { Rule } from '../../src/switches/rule.ts';
import { SwitchValueError } from '../../src/switches/value-error.ts';

const path = { variants: ['legacy', 'actors', 'shadow'], by: 'sellerId', fallback: 'legacy' };
const strict = { ...path, attributes: ['sellerId', 'noticeId'] };

const expected =
  '"on", "off", "legacy", "actors", "shadow", a percentage such as "25%", ' +
  'shares such as "legacy=70 actors=30", or a JSON object';
const noPercentage =
  'is no percentage; expected a number from 0 to 100 with at most two decimals, such as 12.34';
const oneOf = 'expected one of legacy, actors, shadow';

describe('the value of a switch', () => {
  const forms: [written: string, weights: number[]][] = [
    ['on', [0, 10_000, 0]],
    ['off', [10_000, 0, 0]],
    ['legacy', [10_000, 0, 0]],
    ['shadow', [0, 0, 10_000]],
    ['25%', [7_500, 2_500, 0]],
    ['12.34%', [8_766, 1_234, 0]],
    ['0.01%', [9_999, 1, 0]],
    ['0%', [10_000, 0, 0]],
    ['100%', [0, 10_000, 0]],
    ['33.3%', [6_670, 3_330, 0]],
    [' 25%\n', [7_500, 2_500, 0]],
    ['legacy=70 actors=30', [7_000, 3_000, 0]],
    ['actors=30 legacy=70', [7_000, 3_000, 0]],
    ['legacy=69.99  actors=30 shadow=0.01', [6_999, 3_000, 1]],
    ['actors=100', [0, 10_000, 0]],
    ['{ "variants": { "legacy": 70, "actors": 30 } }', [7_000, 3_000, 0]],
    ['{ "variants": { "actors": 12.34, "shadow": 87.66 } }', [0, 1_234, 8_766]],
  ];
  for (const [written, weights] of forms) {
    it(`can be ${JSON.stringify(written)}`, () => {
      assert.deepEqual(parseRule(path, written), {
        variants: path.variants,
        weights,
        by: 'sellerId',
        segments: [],
        fallback: 'legacy',
      } satisfies Rule);
    });
  }

  it('can be JSON with everything', () => {
    const written = `{ "variants": { "legacy": 70, "actors": 30 }, "by": "noticeId",
      "segments": [ { "when": { "sellerId": ["s-17", "판매자"], "noticeId": ["n"] }, "variant": "actors" } ],
      "fallback": "actors", "note": "ramp after incident 12" }`;
    assert.deepEqual(parseRule(strict, Buffer.from(written)), {
      variants: path.variants,
      weights: [7_000, 3_000, 0],
      by: 'noticeId',
      segments: [
        {
          when: [
            { attribute: 'sellerId', values: new Set(['s-17', '판매자']) },
            { attribute: 'noticeId', values: new Set(['n']) },
          ],
          variant: 'actors',
        },
      ],
      fallback: 'actors',
      note: 'ramp after incident 12',
    } satisfies Rule);
  });

  const mistakes: [written: string, ...problems: string[]][] = [
    ['', `the value is empty; expected ${expected}`],
    ['actor', `"actor" is neither a variant nor a share; expected ${expected}`],
    ['constructor', `"constructor" is neither a variant nor a share; expected ${expected}`],
    ['true', `"true" is neither a variant nor a share; expected ${expected}`],
    ['[30]', `"[30]" is neither a variant nor a share; expected ${expected}`],
    ['ON', '"ON" has the wrong case; expected "on"'],
    ['Actors', '"Actors" has the wrong case; expected "actors"'],
    ['25', '"25" lacks its percent sign; expected "25%"'],
    ['2,5', '"2,5" lacks its percent sign; expected "2.5%"'],
    ['"25%"', '""25%"" has quotes of its own; write it without them'],
    ['101%', `"101%" ${noPercentage}`],
    ['-1%', `"-1%" ${noPercentage}`],
    ['12.345%', `"12.345%" ${noPercentage}`],
    ['12,3%', `"12,3%" ${noPercentage}`],
    ['25 %', `"25 %" ${noPercentage}`],
    ['.5%', `".5%" ${noPercentage}`],
    ['1e1%', `"1e1%" ${noPercentage}`],
    ['%', `"%" ${noPercentage}`],
    ['legacy=70', 'the shares add up to 70; expected 100 (in zkCli, put a value with spaces in quotes)'],
    ['legacy=70 actors=40', 'the shares add up to 110; expected 100'],
    ['legacy=70 actors=29.99', 'the shares add up to 99.99; expected 100'],
    ['legacy=70, actors=30', `the share of legacy is "70,", which ${noPercentage}`],
    [
      'legacy=70% actors=30%',
      `the share of legacy is "70%", which ${noPercentage}`,
      `the share of actors is "30%", which ${noPercentage}`,
    ],
    ['legacy=70 actor=30', `"actor" in "actor=30" is no variant; ${oneOf}`],
    [
      'legacy=70 actors = 30',
      '"actors" is not of the form variant=share, such as actors=30',
      `"" in "=" is no variant; ${oneOf}`,
      '"30" is not of the form variant=share, such as actors=30',
    ],
    ['actors=50 actors=50', 'actors is there twice; expected one share for each variant'],
    ['{}', 'variants is missing; expected the share of each variant, such as { "legacy": 70, "actors": 30 }'],
    [
      '{ "variants": [70, 30] }',
      'variants is [70,30]; expected the share of each variant, such as { "legacy": 70, "actors": 30 }',
    ],
    [
      '{ "variants": { "legacy": "100" } }',
      'variants.legacy is "100"; expected a number from 0 to 100, without quotes',
    ],
    ['{ "variants": { "legacy": 100.001 } }', `variants.legacy is "100.001", which ${noPercentage}`],
    ['{ "variants": { "legacy": 70, "actors": 20 } }', 'the shares add up to 90; expected 100'],
    ['{ "variants": { "legacy": 100, "actor": 0 } }', `variants.actor is unknown; ${oneOf}`],
    [json({ segment: [] }), 'segment is unknown; expected one of variants, by, segments, fallback, note'],
    [json({ by: '' }), 'by names ""; expected one of sellerId, noticeId'],
    [json({ by: 'selerId' }), 'by names "selerId"; expected one of sellerId, noticeId'],
    [json({ by: ['sellerId'] }), 'by names ["sellerId"]; expected one of sellerId, noticeId'],
    [json({ fallback: 'old' }), `fallback is "old"; ${oneOf}`],
    [json({ note: 12 }), 'note is 12; expected a text'],
    [json({ segments: {} }), 'segments is {}; expected a list of { "when": …, "variant": … }'],
    [json({ segments: ['s-17'] }), 'segments[0] is "s-17"; expected { "when": …, "variant": … }'],
    [
      json({ segments: [{ variant: 'actors' }] }),
      'segments[0].when is missing; expected values by attribute, such as { "sellerId": ["s-17"] }',
    ],
    [
      json({ segments: [{ when: {}, variant: 'actors' }] }),
      'segments[0].when is {}; expected values by attribute, such as { "sellerId": ["s-17"] }',
    ],
    [
      segment({ sellerId: 's-17' }, 'actors'),
      'segments[0].when.sellerId is "s-17"; expected a list of texts, such as ["s-17"]',
    ],
    [
      segment({ sellerId: [] }, 'actors'),
      'segments[0].when.sellerId is []; expected a list of texts, such as ["s-17"]',
    ],
    [
      segment({ sellerId: ['s-17', 18] }, 'actors'),
      'segments[0].when.sellerId is ["s-17",18]; expected a list of texts, such as ["s-17"]',
    ],
    [
      segment({ seller: ['s-17'] }, 'actors'),
      'segments[0].when names "seller"; expected one of sellerId, noticeId',
    ],
    [segment({ sellerId: ['s-17'] }, 'new'), `segments[0].variant is "new"; ${oneOf}`],
    [segment({ sellerId: ['s-17'] }), `segments[0].variant is missing; ${oneOf}`],
    [
      json({ segments: [{ when: { sellerId: ['s-17'] }, variant: 'actors', note: '' }] }),
      'segments[0].note is unknown; expected one of when, variant',
    ],
    [
      '{ "variants": { "legacy": 101 }, "by": "", "note": 1 }',
      `variants.legacy is "101", which ${noPercentage}`,
      'by names ""; expected one of sellerId, noticeId',
      'note is 1; expected a text',
    ],
  ];
  for (const [written, ...problems] of mistakes) {
    it(`can't be ${JSON.stringify(written)}`, () => {
      assert.deepEqual(problemsOf(written), problems);
    });
  }

  it("can't be broken JSON", () => {
    const [problem, ...more] = problemsOf('{ "variants": { "legacy": 100 }');
    assert.match(problem ?? '', /^the value starts with \{ but is not JSON: ./u);
    assert.deepEqual(more, []);
  });

  it("can't be bytes that are not UTF-8", () => {
    assert.deepEqual(problemsOf(Buffer.from([0x33, 0x30, 0xff])), ['the value is not UTF-8 text']);
  });

  it('may name any attribute where the switch lists none', () => {
    assert.equal(parseRule(path, json({ by: 'customerId' })).by, 'customerId');
  });

  it('is shown cut where it is long', () => {
    assert.match(problemsOf('x'.repeat(10_000))[0] ?? '', /^"x{78}… is neither/u);
  });
});

function json(parts: object): string {
  return JSON.stringify({ variants: { legacy: 70, actors: 30 }, ...parts });
}

function segment(when: object, variant?: string): string {
  return json({ segments: [{ when, variant }] });
}

function problemsOf(written: string | Uint8Array): readonly string[] {
  try {
    parseRule(strict, written);
  } catch (error) {
    assert.ok(error instanceof SwitchValueError);
    return error.problems;
  }
  return assert.fail('it was accepted');
}
