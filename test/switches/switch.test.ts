import assert from 'node:assert/strict';
import { bucketOf } from '../../src/switches/bucket.ts';
import { parseRule } from '../../src/switches/parse.ts';
import { variantOfBucket } from '../../src/switches/rule.ts';
import { evaluateSwitch, type SwitchContext, type SwitchState } from '../../src/switches/switch.ts';

const name = 'delay-notice-path';
const definition = { variants: ['legacy', 'actors', 'shadow'], by: 'sellerId', fallback: 'legacy' };

describe('a switch', () => {
  it('sends everyone one way, whatever the context', () => {
    assert.deepEqual(evaluate('on', {}), {
      value: 'actors',
      variant: 'actors',
      reason: 'STATIC',
      version: 7,
    });
    assert.equal(evaluate('100%', {}).reason, 'STATIC');
    assert.equal(evaluate('off', {}).variant, 'legacy');
  });

  it('splits by the bucket of the key', () => {
    const split = { reason: 'SPLIT', version: 7, bucket: 2658 };
    assert.deepEqual(evaluate('26.58%', { sellerId: 's-17' }), {
      value: 'legacy',
      variant: 'legacy',
      ...split,
    });
    assert.deepEqual(evaluate('26.59%', { sellerId: 's-17' }), {
      value: 'actors',
      variant: 'actors',
      ...split,
    });
    assert.deepEqual(evaluate('legacy=26.58 shadow=73.42', { sellerId: 's-17' }), {
      value: 'shadow',
      variant: 'shadow',
      ...split,
    });
  });

  it('splits by what the value says', () => {
    const value = json({ variants: { legacy: 70, actors: 30 }, by: 'noticeId' });
    assert.equal(evaluate(value, { sellerId: 's-17', noticeId: 'n-1' }).bucket, bucketOf(name, 'n-1'));
  });

  it('sends a segment its own way: the first of which all attributes match', () => {
    const value = json({
      variants: { legacy: 100 },
      segments: [
        { when: { sellerId: ['s-17', 's-18'], lane: ['bulk'] }, variant: 'shadow' },
        { when: { sellerId: ['s-17'] }, variant: 'actors' },
      ],
    });
    assert.deepEqual(evaluate(value, { sellerId: 's-17', lane: 'bulk' }), match('shadow'));
    assert.deepEqual(evaluate(value, { sellerId: 's-17' }), match('actors'));
    const { variant, reason, version } = evaluate(value, { sellerId: 's-18' });
    assert.deepEqual([variant, reason, version], ['legacy', 'DEFAULT', 7]);
  });

  it('gives the fallback and says so where no value is known', () => {
    const unset = { name, definition, applied: undefined, error: undefined };
    const fallback = { value: 'legacy', variant: 'legacy', version: null };
    assert.deepEqual(evaluateSwitch(unset, {}, false), { ...fallback, reason: 'DEFAULT' });
    assert.deepEqual(evaluateSwitch({ ...unset, error: 'it is empty' }, {}, false), {
      ...fallback,
      reason: 'ERROR',
      errorCode: 'PARSE_ERROR',
      errorMessage: "its value can't be used: it is empty",
    });
  });

  it('gives what its variants stand for', () => {
    const values = { legacy: 1, actors: { parallel: 8 }, shadow: 0 };
    const at = { ...state('on'), definition: { ...definition, values } };
    assert.deepEqual(evaluateSwitch(at, {}, false).value, { parallel: 8 });
    assert.deepEqual(evaluateSwitch({ ...at, applied: undefined }, {}, false).value, 1);
    assert.equal(evaluateSwitch({ ...state('shadow'), definition: at.definition }, {}, false).value, 0);
  });

  it('says when ZooKeeper is away', () => {
    assert.deepEqual(evaluate('on', {}, true), {
      value: 'actors',
      variant: 'actors',
      reason: 'STALE',
      version: 7,
    });
  });

  const contexts: [what: string, context: unknown][] = [
    ['lacks the key', { noticeId: 'n-1' }],
    ['has an empty key', { sellerId: '' }],
    ['has a key that is no text', { sellerId: 17 }],
    ['only inherits the key', Object.create({ sellerId: 's-17' })],
  ];
  for (const [what, context] of contexts) {
    it(`gives the fallback of its value where the context ${what}`, () => {
      const value = json({ variants: { legacy: 70, actors: 30 }, fallback: 'actors' });
      for (const stale of [false, true]) {
        assert.deepEqual(evaluate(value, context, stale), {
          value: 'actors',
          variant: 'actors',
          reason: 'ERROR',
          version: 7,
          errorCode: 'TARGETING_KEY_MISSING',
          errorMessage: 'the context has no "sellerId", by which "delay-notice-path" is split',
        });
      }
    });
  }

  it('never throws, even without a context', () => {
    for (const context of [undefined, null]) {
      const { variant, reason, errorCode, errorMessage } = evaluate('30%', context);
      assert.deepEqual([variant, reason, errorCode], ['legacy', 'ERROR', 'INVALID_CONTEXT']);
      assert.match(errorMessage ?? '', /^the context can't be read: TypeError/u);
    }
  });
});

describe('a percentage', () => {
  it('gives the second variant exactly that many buckets, for each of the 10,001', () => {
    for (let hundredths = 0; hundredths <= 10_000; hundredths += 1) {
      const rule = parseRule(definition, `${hundredths / 100}%`);
      let buckets = 0;
      for (let bucket = 0; bucket < 10_000; bucket += 1) {
        if (variantOfBucket(rule, bucket) === 'actors') buckets += 1;
      }
      assert.equal(buckets, hundredths);
    }
  });

  it('is the same in every way to write it', () => {
    for (const hundredths of [0, 1, 7, 29, 57, 1_234, 3_000, 9_999, 10_000]) {
      const [p, rest] = [hundredths / 100, (10_000 - hundredths) / 100];
      const written = [
        `${p.toFixed(2)}%`,
        `legacy=${rest} actors=${p}`,
        `actors=${p} legacy=${rest}`,
        json({ variants: { actors: p, legacy: rest } }),
      ];
      for (const form of written) {
        assert.deepEqual(parseRule(definition, form).weights, [10_000 - hundredths, hundredths, 0], form);
      }
    }
  });

  it('only ever adds keys when it is raised, whatever becomes of the third variant', () => {
    const steps = [
      '0%',
      '0.01%',
      '12.34%',
      'legacy=60 actors=30 shadow=10',
      'legacy=40 actors=50 shadow=10',
      '99.99%',
      'on',
    ];
    let before = new Set<string>();
    for (const step of steps) {
      const chosen = chosenBy(step, 10_000);
      assert.deepEqual(
        [...before].filter((key) => !chosen.has(key)),
        [],
        step,
      );
      assert.ok(chosen.size >= before.size);
      before = chosen;
    }
    assert.equal(before.size, 10_000);
  });

  it('only ever adds keys to the third variant as well', () => {
    const small = chosenBy('legacy=60 actors=30 shadow=10', 10_000, 'shadow');
    const big = chosenBy('legacy=10 actors=50 shadow=40', 10_000, 'shadow');
    assert.ok(small.size > 0 && big.size > small.size);
    assert.deepEqual(
      [...small].filter((key) => !big.has(key)),
      [],
    );
  });

  it('chooses its share of 1,000,000 keys', () => {
    const keys = 1_000_000;
    for (const p of [1, 12.34, 30, 50]) {
      const expected = (keys * p) / 100;
      const deviation = Math.sqrt(expected * (1 - p / 100));
      const { size } = chosenBy(`${p}%`, keys);
      assert.ok(Math.abs(size - expected) < 4 * deviation, `${p}%: ${size} keys, expected about ${expected}`);
    }
  });
});

function state(written: string): SwitchState {
  return {
    name,
    definition,
    applied: { rule: parseRule(definition, written), version: 7 },
    error: undefined,
  };
}

function evaluate(written: string, context: unknown, stale = false) {
  return evaluateSwitch(state(written), context as SwitchContext, stale);
}

function chosenBy(written: string, keys: number, variant = 'actors'): Set<string> {
  const at = state(written);
  const all = Array.from({ length: keys }, (_, index) => `s-${index}`);
  return new Set(all.filter((sellerId) => evaluateSwitch(at, { sellerId }, false).variant === variant));
}

const match = (variant: string) => ({ value: variant, variant, reason: 'TARGETING_MATCH', version: 7 });
const json = (value: object) => JSON.stringify(value);
