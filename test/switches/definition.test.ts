import assert from 'node:assert/strict';
import { registryProblems, type SwitchDefinition } from '../../src/switches/definition.ts';

const good: SwitchDefinition = { variants: ['legacy', 'actors'], by: 'sellerId', fallback: 'legacy' };

describe('a registry of switches', () => {
  it('is fine with two or three variants', () => {
    const three = { ...good, variants: ['off', 'on', 'shadow'], fallback: 'off', attributes: ['sellerId'] };
    assert.deepEqual(registryProblems({ 'delay-notice-path': good, other: three }), []);
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
