import { bucketCount } from './bucket.ts';
import type { SwitchDefinition } from './definition.ts';
import { parseJson } from './parse-json.ts';
import type { Rule } from './rule.ts';
import { Problems, quoted, SwitchValueError, weightOf } from './value-error.ts';

/**
 * Turns what a person wrote into a rule.
 *
 * It takes `on`, `off`, a variant, `25%`, `12.34%`, `legacy=70 actors=30`, or a JSON object with `variants`, `by`,
 * `segments`, `fallback` and `note`; white space around it doesn't matter. Throws a `SwitchValueError` that lists
 * every mistake it found.
 */
export function parseRule(definition: SwitchDefinition, written: string | Uint8Array): Rule {
  const text = (typeof written === 'string' ? written : decode(written)).trim();
  if (text.startsWith('{')) return parseJson(definition, text);
  return rule(definition, weightsOf(definition, text));
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SwitchValueError(['the value is not UTF-8 text'], { cause });
  }
}

function rule(definition: SwitchDefinition, weights: readonly number[]): Rule {
  const { variants, by, fallback } = definition;
  return { variants, weights, by, segments: [], fallback };
}

function weightsOf(definition: SwitchDefinition, text: string): readonly number[] {
  const { variants } = definition;
  if (text.includes('=')) return sharesOf(definition, text);
  if (text.endsWith('%')) {
    const problems = new Problems();
    const share = weightOf(text.slice(0, -1), quoted(text), problems);
    problems.throwIfAny();
    return variants.map((_, index) => [bucketCount - share, share][index] ?? 0);
  }
  const chosen = text === 'off' ? variants[0] : text === 'on' ? variants[1] : text;
  if (chosen === undefined || !variants.includes(chosen))
    throw new SwitchValueError([misread(definition, text)]);
  return variants.map((variant) => (variant === chosen ? bucketCount : 0));
}

function sharesOf({ variants }: SwitchDefinition, text: string): readonly number[] {
  const problems = new Problems();
  const shares = new Map<string, number>();
  for (const word of text.split(/\s+/)) {
    const [variant = '', share, ...more] = word.split('=');
    if (share === undefined || more.length > 0) {
      problems.add(`${quoted(word)} is not of the form variant=share, such as ${variants[1]}=30`);
    } else if (!variants.includes(variant)) {
      problems.add(
        `${quoted(variant)} in ${quoted(word)} is no variant; expected one of ${variants.join(', ')}`,
      );
    } else if (shares.has(variant)) {
      problems.add(`${variant} is there twice; expected one share for each variant`);
    } else {
      shares.set(variant, weightOf(share, `the share of ${variant}`, problems));
    }
  }
  problems.throwIfAny();
  const weights = variants.map((variant) => shares.get(variant) ?? 0);
  const hint = shares.size === 1 ? ' (in zkCli, put a value with spaces in quotes)' : '';
  problems.addUnlessWhole(weights, hint);
  problems.throwIfAny();
  return weights;
}

function misread({ variants }: SwitchDefinition, text: string): string {
  if (text === '') return `the value is empty; expected ${forms(variants)}`;
  if (/^["'].*["']$/s.test(text)) return `${quoted(text)} has quotes of its own; write it without them`;
  if (/^\d+([.,]\d*)?$/.test(text))
    return `${quoted(text)} lacks its percent sign; expected "${text.replace(',', '.')}%"`;
  const known = ['on', 'off', ...variants].find((word) => word.toLowerCase() === text.toLowerCase());
  if (known !== undefined) return `${quoted(text)} has the wrong case; expected "${known}"`;
  return `${quoted(text)} is neither a variant nor a share; expected ${forms(variants)}`;
}

const forms = (variants: readonly string[]) =>
  `"on", "off", ${variants.map((variant) => `"${variant}"`).join(', ')}, a percentage such as "25%", ` +
  `shares such as "${variants[0]}=70 ${variants[1]}=30", or a JSON object`;
