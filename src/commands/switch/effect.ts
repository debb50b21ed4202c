import { bucketCount } from '../../switches/bucket.ts';
import type { SwitchDefinition } from '../../switches/definition.ts';
import { parseRule } from '../../switches/parse.ts';
import { onlyVariant, type Rule, variantOfBucket } from '../../switches/rule.ts';
import { evaluateSwitch, type SwitchContext } from '../../switches/switch.ts';
import { SwitchValueError } from '../../switches/value-error.ts';

/** What a change of a switch would do. */
export interface Effect {
  /**
   * Of all keys, how many would change from one variant to another, in percent, segments left aside; undefined if they
   * would be split by another attribute.
   */
  sharePercent: number | undefined;
  /** How many were asked for, and those who would change sides; undefined if they are not known. */
  concerned: number | undefined;
  moves: Move[] | undefined;
  /** The attribute that the contexts lack: it can't be told who they would be. */
  lacks: string | undefined;
}

interface Move {
  from: string;
  to: string;
  who: string[];
}

/** Evaluates the value that a switch has (undefined: none) and the one it would get, for everyone that is known. */
export function effectOf(asked: {
  name: string;
  definition: SwitchDefinition;
  now: string | undefined;
  next: Rule;
  contexts: readonly SwitchContext[] | undefined;
}): Effect {
  const { name, definition, next, contexts } = asked;
  const now = usable(definition, asked.now);
  const stateOf = (rule: Rule | undefined) => ({
    name,
    definition,
    applied: rule && { rule, version: 0 },
    error: undefined,
  });
  let moving = 0;
  const resplit = now !== undefined && now.by !== next.by && [now, next].some((rule) => !onlyVariant(rule));
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    const before = now ? variantOfBucket(now, bucket) : definition.fallback;
    if (before !== variantOfBucket(next, bucket)) moving += 1;
  }
  const moves = new Map<string, Move>();
  let lacks: string | undefined;
  for (const context of contexts ?? []) {
    const [before, after] = [now, next].map((rule) => evaluateSwitch(stateOf(rule), context, false));
    if (before?.reason === 'ERROR' || after?.reason === 'ERROR')
      lacks = [now?.by, next.by].find((by) => by && !(by in context));
    lacks ??= attributesOf([now, next]).find((attribute) => !(attribute in context));
    const [from, to] = [before?.variant ?? '', after?.variant ?? ''];
    if (from === to) continue;
    const move = moves.get(`${from} ${to}`) ?? { from, to, who: [] };
    move.who.push(Object.values(context).join(' '));
    moves.set(`${from} ${to}`, move);
  }
  return {
    sharePercent: resplit ? undefined : (100 * moving) / bucketCount,
    concerned: contexts?.length,
    moves: contexts && lacks === undefined ? [...moves.values()] : undefined,
    lacks,
  };
}

/** What the segments of these rules look at. */
const attributesOf = (rules: readonly (Rule | undefined)[]) =>
  rules.flatMap((rule) =>
    (rule?.segments ?? []).flatMap(({ when }) => when.map(({ attribute }) => attribute)),
  );

const shown = 20;

/** Says an effect in lines of plain words. */
export function tellEffect({ sharePercent, concerned, moves, lacks }: Effect): string[] {
  const share =
    sharePercent === undefined
      ? 'It would be split by another attribute: everyone may change sides.'
      : `${sharePercent} % of all keys would change sides.`;
  if (lacks !== undefined) return [`${share} It looks at ${lacks}, so nobody can tell now which those are.`];
  if (!moves) return [share];
  if (moves.length === 0)
    return [`${share} Of ${concerned} sellers with open orders nobody would change sides.`];
  return [
    share,
    ...moves.map(({ from, to, who }) => {
      const more = who.length > shown ? `, and ${who.length - shown} more (--json shows all)` : '';
      return `${who.length} of ${concerned} sellers with open orders, from ${from} to ${to}: ${who.slice(0, shown).join(', ')}${more}`;
    }),
  ];
}

/** What applies now; a value that can't be used leaves the fallback to a process that has just started. */
function usable(definition: SwitchDefinition, raw: string | undefined): Rule | undefined {
  if (raw === undefined) return undefined;
  try {
    return parseRule(definition, raw);
  } catch (error) {
    if (error instanceof SwitchValueError) return undefined;
    throw error;
  }
}
