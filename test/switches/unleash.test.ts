import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseRule } from '../../src/switches/parse.ts';
import { evaluateSwitch } from '../../src/switches/switch.ts';

interface Specification {
  name: string;
  state: { features?: { name: string; enabled: boolean; strategies?: Strategy[] }[] };
  tests?: { description: string; toggleName: string; expectedResult: boolean; context: Context }[];
}

interface Strategy {
  name: string;
  parameters?: Record<string, string>;
  constraints?: unknown[];
  segments?: unknown[];
}

type Context = Record<string, string> & { properties?: Record<string, string> };

/** What a strategy hands out gradually, and by which attribute; undefined if it does something else. */
function rolloutOf({ name, parameters = {}, constraints = [], segments = [] }: Strategy) {
  const { groupId, percentage, rollout, stickiness } = parameters;
  if (!groupId || constraints.length > 0 || segments.length > 0) return undefined;
  if (name === 'gradualRolloutUserId') return { groupId, share: percentage, by: 'userId' };
  if (name === 'gradualRolloutSessionId') return { groupId, share: percentage, by: 'sessionId' };
  if (name !== 'flexibleRollout' || stickiness === 'random') return undefined;
  return { groupId, share: rollout, by: stickiness === 'default' ? 'userId' : stickiness };
}

/** Every case of the specification that hands out a whole percentage by a key that the context has. */
function gradualRollouts() {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('@unleash/client-specification/package.json')),
    'specifications',
  );
  return readdirSync(folder)
    .filter((file) => /^\d/.test(file))
    .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Specification)
    .flatMap(({ name, state, tests = [] }) =>
      tests.flatMap(({ description, toggleName, expectedResult, context }) => {
        const { enabled, strategies = [] } =
          state.features?.find((feature) => feature.name === toggleName) ?? {};
        const rollout = strategies.length === 1 && strategies[0] ? rolloutOf(strategies[0]) : undefined;
        const key = rollout?.by && (context[rollout.by] ?? context.properties?.[rollout.by]);
        return enabled && rollout && key ? [{ name, description, expectedResult, key, ...rollout }] : [];
      }),
    );
}

describe("Unleash's specification of gradual rollouts", () => {
  const cases = gradualRollouts();

  it('has such cases', () => assert.ok(cases.length >= 15, `${cases.length} cases`));

  for (const { name, description, groupId, share, key, expectedResult } of cases)
    it(`${name}: ${description}`, () => {
      const definition = { variants: ['off', 'on'], by: 'key', fallback: 'off' };
      const applied = { rule: parseRule(definition, `${share}%`), version: 0 };
      const { variant } = evaluateSwitch(
        { name: groupId, definition, applied, error: undefined },
        { key },
        false,
      );
      assert.equal(variant, expectedResult ? 'on' : 'off');
    });
});
