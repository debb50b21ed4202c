import assert from 'node:assert/strict';
import { registryProblems, type SwitchDefinition } from '../../src/switches/definition.ts';

const good: SwitchDefinition = { variants: ['legacy', 'actors'], by: 'sellerId', fallback: 'legacy' };

describe('a registry of switches', () => {
  it('is fine with two or three variants', () => {
    const three = { ...good, variants: ['off', 'on', 'shadow'], fallback: 'off', attributes: ['sellerId'] };
    const worth = { ...good, values: { legacy: 0, actors: 8 } };
    assert.deepEqual(registryProblems({ 'delay-notice-path': good, other: three, worth }), []);
  });

  const mistakes: [parts: Partial<SwitchDefinition>, problem: string][] = [
    [{ fallback: 'old' }, 'fallback "old" is none of its variants (legacy, actors)'],
    [{ variants: ['legacy'] }, 'has 1 variants; expected two or three, first the old one, then the new'],
    [
      { variants: ['legacy', 'a', 'b', 'c'] },
      'has 4 variants; expected two or three, first the old one, then the new',
    ],
    [{ variants: ['legacy', 'actors', 'actors'] }, 'names a variant twice: legacy, actors, actors'],
    [{ variants: ['on', 'legacy'] }, '"off" can only be the first variant and "on" only the second'],
    [{ variants: ['legacy', 'off'] }, '"off" can only be the first variant and "on" only the second'],
    [
      { variants: ['legacy', 'a=b'] },
      `"a=b" can't be a name; expected a letter, then letters, digits, ".", "_" or "-"`,
    ],
    [{ by: '' }, '"by" is empty; expected the name of a context attribute, such as "sellerId"'],
    [{ attributes: ['noticeId'] }, '"by" is "sellerId", which is none of its attributes (noticeId)'],
    [{ values: { legacy: 1 } }, 'has values for legacy; expected one for each of legacy, actors'],
    [
      { values: { legacy: 1, actors: true } },
      'has values of the types number, boolean; expected all of one type, and not null',
    ],
    [
      { values: { legacy: null as never, actors: {} } },
      'has values of the types null, object; expected all of one type, and not null',
    ],
  ];
  for (const [parts, problem] of mistakes) {
    it(`is told: ${problem}`, () => {
      assert.deepEqual(registryProblems({ path: { ...good, ...parts } }), [`switch "path": ${problem}`]);
    });
  }

  it('is told all mistakes of all switches at once', () => {
    assert.equal(registryProblems({ a: { ...good, by: '' }, b: { ...good, fallback: '' }, good }).length, 2);
  });
});
