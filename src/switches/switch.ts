import { bucketOf } from './bucket.ts';
import type { SwitchDefinition, SwitchValue } from './definition.ts';
import { onlyVariant, type Rule, type Segment, variantOfBucket } from './rule.ts';

/** What the caller knows of the one to decide for, such as `{ sellerId: 's-17' }`. */
export type SwitchContext = Readonly<Record<string, string>>;

/**
 * Why an evaluation gave what it gave (the words are OpenFeature's):
 *
 * - `STATIC`: the value sends everyone to one variant.
 * - `SPLIT`: the key's bucket decided.
 * - `TARGETING_MATCH`: a segment decided.
 * - `DEFAULT`: nothing is written, and it is the registered fallback; or no segment matched, and the value sends all
 *   others to one variant.
 * - `STALE`: as the last known value says, while ZooKeeper is away.
 * - `ERROR`: something is wrong, `errorMessage` says what; the fallback.
 */
export type Reason = 'STATIC' | 'SPLIT' | 'TARGETING_MATCH' | 'DEFAULT' | 'STALE' | 'ERROR';

/**
 * What is wrong (the words are OpenFeature's): no such switch is registered; no value of it ever made sense; the
 * context lacks the attribute it is split by; the context can't be read.
 */
export type EvaluationErrorCode =
  | 'FLAG_NOT_FOUND'
  | 'PARSE_ERROR'
  | 'TARGETING_KEY_MISSING'
  | 'INVALID_CONTEXT';

/** An answer and how it came about. */
export interface Evaluation {
  /** What the variant stands for: its name, unless `values` are registered. */
  readonly value: SwitchValue;
  /** The variant's name; empty only for a switch that isn't registered. */
  readonly variant: string;
  readonly reason: Reason;
  /** The version of the znode whose value was applied; null if none was. */
  readonly version: number | null;
  /** 0 to 9,999; there if the bucket decided. */
  readonly bucket?: number;
  /** Both there if the reason is `ERROR`. */
  readonly errorCode?: EvaluationErrorCode;
  readonly errorMessage?: string;
}

/** What is known of a switch at some moment. */
export interface SwitchState {
  readonly name: string;
  readonly definition: SwitchDefinition;
  /** The last good value; undefined while there is none. */
  readonly applied: { readonly rule: Rule; readonly version: number } | undefined;
  /** Why the znode's present value can't be used; undefined if it can, or if there is none. */
  readonly error: string | undefined;
  /** Whether ZooKeeper has lost the value that is applied; then it is as stale as if ZooKeeper were away. */
  readonly lost?: boolean;
}

/** Decides for one context: in memory, without waiting; it never throws. `stale` says that ZooKeeper is away. */
export function evaluateSwitch(state: SwitchState, context: SwitchContext, stale: boolean): Evaluation {
  const { applied, definition } = state;
  if (applied === undefined) {
    if (state.error === undefined) return answer(definition, definition.fallback, 'DEFAULT', null);
    const message = `its value can't be used: ${state.error}`;
    return failed(definition, definition.fallback, null, 'PARSE_ERROR', message);
  }
  const { rule, version } = applied;
  try {
    const evaluation = evaluateRule(state, rule, version, context);
    return (stale || state.lost) && evaluation.reason !== 'ERROR'
      ? { ...evaluation, reason: 'STALE' }
      : evaluation;
  } catch (error) {
    const message = `the context can't be read: ${String(error)}`;
    return failed(definition, rule.fallback, version, 'INVALID_CONTEXT', message);
  }
}

/** The answer for a name that isn't registered; the type of `evaluate` rules it out, JavaScript doesn't. */
export function unknownSwitch(name: string, known: Iterable<string>): Evaluation {
  const message = `"${name}" is not a registered switch; known are: ${[...known].join(', ') || 'none'}`;
  return failed({ values: undefined }, '', null, 'FLAG_NOT_FOUND', message);
}

function evaluateRule(
  { name, definition }: SwitchState,
  rule: Rule,
  version: number,
  context: SwitchContext,
): Evaluation {
  for (const segment of rule.segments) {
    if (matches(segment, context)) return answer(definition, segment.variant, 'TARGETING_MATCH', version);
  }
  const only = onlyVariant(rule);
  if (only !== undefined)
    return answer(definition, only, rule.segments.length === 0 ? 'STATIC' : 'DEFAULT', version);
  const key = attributeOf(context, rule.by);
  if (key === undefined || key === '') {
    const message = `the context has no "${rule.by}", by which "${name}" is split`;
    return failed(definition, rule.fallback, version, 'TARGETING_KEY_MISSING', message);
  }
  const bucket = bucketOf(name, key);
  const variant = variantOfBucket(rule, bucket);
  return { value: valueOf(definition, variant), variant, reason: 'SPLIT', version, bucket };
}

function matches({ when }: Segment, context: SwitchContext): boolean {
  for (const { attribute, values } of when) {
    const value = attributeOf(context, attribute);
    if (value === undefined || !values.has(value)) return false;
  }
  return true;
}

function attributeOf(context: SwitchContext, attribute: string): string | undefined {
  const value: unknown = Object.hasOwn(context, attribute) ? context[attribute] : undefined;
  return typeof value === 'string' ? value : undefined;
}

type Values = Pick<SwitchDefinition, 'values'>;

const valueOf = ({ values }: Values, variant: string): SwitchValue =>
  values === undefined ? variant : (values[variant] ?? variant);

const answer = (definition: Values, variant: string, reason: Reason, version: number | null): Evaluation => ({
  value: valueOf(definition, variant),
  variant,
  reason,
  version,
});

const failed = (
  definition: Values,
  variant: string,
  version: number | null,
  errorCode: EvaluationErrorCode,
  errorMessage: string,
): Evaluation => ({ ...answer(definition, variant, 'ERROR', version), errorCode, errorMessage });
