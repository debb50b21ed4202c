import { bucketCount } from './bucket.ts';

/** What a znode's value means: the one form that all ways of writing it are parsed into. */
export interface Rule {
  /** The registered variants, in their order. */
  readonly variants: readonly string[];
  /** The share of each variant in buckets; adds up to 10,000. */
  readonly weights: readonly number[];
  /** The context attribute whose value is the key. */
  readonly by: string;
  /** Looked at in order, before the weights; the first that matches decides. */
  readonly segments: readonly Segment[];
  /** Given where the context lacks `by`. */
  readonly fallback: string;
  /** Why it was written, in a person's words. */
  readonly note?: string;
}

/** Sends contexts of which every attribute in `when` has one of its listed values to `variant`. */
export interface Segment {
  readonly when: readonly { readonly attribute: string; readonly values: ReadonlySet<string> }[];
  readonly variant: string;
}

/**
 * Tells the variant that a bucket belongs to.
 *
 * The second variant grows from bucket 0 upwards, the third from the last one downwards, and the first has what
 * is left. So raising a percentage only adds keys, whichever way it is written; don't "simplify" it to ranges
 * in the order of the variants.
 */
export function variantOfBucket({ variants, weights }: Rule, bucket: number): string {
  let index = 0;
  if (bucket < (weights[1] ?? 0)) index = 1;
  else if (bucket >= bucketCount - (weights[2] ?? 0)) index = 2;
  return variants[index] ?? '';
}

/** Tells the variant that has every bucket, so that no key is needed; undefined if they are shared. */
export function onlyVariant({ variants, weights }: Rule): string | undefined {
  // Not indexOf: that took a third of an evaluation.
  for (let index = 0; index < weights.length; index += 1)
    if (weights[index] === bucketCount) return variants[index];
  return undefined;
}

/** Says a rule in plain words, such as `legacy 70 %, actors 30 % by sellerId; 1 segment`. */
export function describeRule(rule: Rule): string {
  const only = onlyVariant(rule);
  const shares = rule.variants
    .map((variant, index) => ({ variant, weight: rule.weights[index] ?? 0 }))
    .filter(({ weight }) => weight > 0)
    .map(({ variant, weight }) => `${variant} ${weight / 100} %`);
  const segments = rule.segments.length === 1 ? '1 segment' : `${rule.segments.length} segments`;
  const split = only === undefined ? `${shares.join(', ')} by ${rule.by}` : only;
  return rule.segments.length === 0 ? split : `${split}; ${segments}`;
}
