import assert from 'node:assert/strict';
import { limitsOf, type Overridden, OverrideError, parseOverride } from '../../src/pipeline/override.ts';

const lane: Overridden = { consumers: { min: 2, max: 4 } };

describe('an override', () => {
  it('may say any of what can be overruled, and who and why', () => {
    for (const [of, written] of [
      [lane, {}],
      [lane, { max: 8 }],
      [lane, { min: 1, max: 1, paused: false, by: 'haneul@ops-2', note: 'rush' }],
      ['step', { paused: true, note: 'maintenance' }],
    ] as const)
      assert.deepEqual(parseOverride(of, ` ${JSON.stringify(written)}\n`), written);
  });

  const wrong: [written: string | Buffer, expected: RegExp, of?: Overridden][] = [
    ['', /no JSON: it is empty; expected such as \{ "max": 8/],
    ['{', /no JSON: .*zkCli, in quotes/],
    ['8', /the value is 8; expected an object/],
    ['[]', /the value is \[\]; expected an object/],
    ['null', /the value is null; expected an object/],
    [Buffer.from([0xff]), /no JSON/],
    ['{ "mx": 8 }', /mx is unknown; expected some of min, max, paused, by, note/],
    ['{ "max": 0 }', /max is 0; expected a whole number from 1 to 64/],
    ['{ "max": 65 }', /max is 65; expected a whole number from 1 to 64/],
    ['{ "max": "8" }', /max is "8"; expected a whole number/],
    ['{ "min": 1.5, "paused": "yes" }', /min is 1.5; .*; paused is "yes"; expected true or false/],
    ['{ "max": 1 }', /min 2 \(as configured\) is more than max 1; give both/],
    ['{ "min": 5 }', /min 5 is more than max 4 \(as configured\)/],
    ['{ "min": 9, "max": 8 }', /min 9 is more than max 8;/],
    ['{ "max": 8 }', /max can't be said of a step; say it of each of its lanes/, 'step'],
    ['{ "note": 1 }', /note is 1; expected a text/],
    ['{ "__proto__": 1 }', /__proto__ is unknown/],
    ['{ "constructor": 1 }', /constructor is unknown/],
  ];
  for (const [written, expected, of = lane] of wrong)
    it(`is refused where it is ${JSON.stringify(String(written))}`, () => {
      assert.throws(
        () => parseOverride(of, written),
        (error) => {
          assert(error instanceof OverrideError && error.problems.length > 0);
          assert.match(error.message, expected);
          return true;
        },
      );
    });

  it('of a lane and that of its step are put together', () => {
    const changedAt = new Date();
    const limits = (found: Record<string, object>) =>
      limitsOf({ min: 2, max: 4 }, { step: 'tms', lane: 'bulk' }, (name) => {
        const override = found[name];
        return override && { override, changedAt };
      });
    assert.deepEqual(limits({}), { min: 2, max: 4, from: undefined, pause: undefined });
    assert.deepEqual(
      limits({ 'tms.bulk': { max: 8, by: 'bori', note: 'rush' }, 'tms.express': { paused: true } }),
      {
        min: 2,
        max: 8,
        from: { name: 'tms.bulk', by: 'bori', note: 'rush', at: changedAt },
        pause: undefined,
      },
    );
    const paused = limits({ tms: { paused: true }, 'tms.bulk': { paused: false } });
    assert.deepEqual(paused.pause, { name: 'tms', by: null, note: null, at: changedAt });
    assert.equal(limits({ tms: {}, 'tms.bulk': { paused: true } }).pause?.name, 'tms.bulk');
  });
});
