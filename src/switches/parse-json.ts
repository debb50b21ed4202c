import type { SwitchDefinition } from './definition.ts';
import type { Rule, Segment } from './rule.ts';
import { Problems, quoted, SwitchValueError, weightOf } from './value-error.ts';

type JsonObject = Record<string, unknown>;

const fields = ['variants', 'by', 'segments', 'fallback', 'note'];
const segmentFields = ['when', 'variant'];

/** Turns the JSON form of a switch's value into a rule; throws a `SwitchValueError` with every mistake in it. */
export function parseJson(definition: SwitchDefinition, text: string): Rule {
  const problems = new Problems();
  const json = objectOf(text);
  refuseUnknown(json, fields, '', problems);
  const weights = weightsOf(definition, json.variants, problems);
  const by = json.by === undefined ? definition.by : attribute(definition, json.by, 'by', problems);
  const fallback =
    json.fallback === undefined
      ? definition.fallback
      : variant(definition, json.fallback, 'fallback', problems);
  const segments = segmentsOf(definition, json.segments ?? [], problems);
  if (json.note !== undefined && typeof json.note !== 'string') {
    problems.add(`note is ${quoted(json.note)}; expected a text`);
  }
  problems.throwIfAny();
  const note = typeof json.note === 'string' ? { note: json.note } : {};
  return { variants: definition.variants, weights, by, segments, fallback, ...note };
}

function objectOf(text: string): JsonObject {
  try {
    // It starts with a brace, so it is an object or nothing.
    return JSON.parse(text) as JsonObject;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SwitchValueError([`the value starts with { but is not JSON: ${why}`], { cause });
  }
}

function weightsOf({ variants }: SwitchDefinition, json: unknown, problems: Problems): number[] {
  const example = `{ "${variants[0]}": 70, "${variants[1]}": 30 }`;
  if (!isObject(json)) {
    const came = json === undefined ? 'is missing' : `is ${quoted(json)}`;
    problems.add(`variants ${came}; expected the share of each variant, such as ${example}`);
    return [];
  }
  const before = problems.count;
  refuseUnknown(json, variants, 'variants.', problems);
  const weights = variants.map((name) => {
    const share = Object.hasOwn(json, name) ? json[name] : 0;
    if (typeof share === 'number') return weightOf(String(share), `variants.${name}`, problems);
    problems.add(`variants.${name} is ${quoted(share)}; expected a number from 0 to 100, without quotes`);
    return 0;
  });
  if (problems.count === before) problems.addUnlessWhole(weights);
  return weights;
}

function segmentsOf(definition: SwitchDefinition, json: unknown, problems: Problems): Segment[] {
  if (!Array.isArray(json)) {
    problems.add(`segments is ${quoted(json)}; expected a list of { "when": …, "variant": … }`);
    return [];
  }
  return json.map((segment: unknown, index) =>
    segmentOf(definition, segment, `segments[${index}]`, problems),
  );
}

function segmentOf(definition: SwitchDefinition, json: unknown, where: string, problems: Problems): Segment {
  const when: { attribute: string; values: ReadonlySet<string> }[] = [];
  if (!isObject(json)) {
    problems.add(`${where} is ${quoted(json)}; expected { "when": …, "variant": … }`);
    return { when, variant: '' };
  }
  refuseUnknown(json, segmentFields, `${where}.`, problems);
  if (!isObject(json.when) || Object.keys(json.when).length === 0) {
    const came = json.when === undefined ? 'is missing' : `is ${quoted(json.when)}`;
    problems.add(
      `${where}.when ${came}; expected values by attribute, such as { "${definition.by}": ["s-17"] }`,
    );
  } else {
    for (const [name, values] of Object.entries(json.when)) {
      attribute(definition, name, `${where}.when`, problems);
      when.push({ attribute: name, values: valuesOf(values, `${where}.when.${name}`, problems) });
    }
  }
  return { when, variant: variant(definition, json.variant, `${where}.variant`, problems) };
}

function valuesOf(json: unknown, where: string, problems: Problems): ReadonlySet<string> {
  const values: unknown[] = Array.isArray(json) ? json : [];
  const texts = values.filter((value) => typeof value === 'string');
  if (texts.length === 0 || texts.length < values.length) {
    problems.add(`${where} is ${quoted(json)}; expected a list of texts, such as ["s-17"]`);
  }
  return new Set(texts);
}

function variant({ variants }: SwitchDefinition, json: unknown, where: string, problems: Problems): string {
  if (typeof json === 'string' && variants.includes(json)) return json;
  const came = json === undefined ? 'is missing' : `is ${quoted(json)}`;
  problems.add(`${where} ${came}; expected one of ${variants.join(', ')}`);
  return '';
}

function attribute(
  { attributes }: SwitchDefinition,
  json: unknown,
  where: string,
  problems: Problems,
): string {
  if (typeof json === 'string' && json !== '' && (attributes?.includes(json) ?? true)) return json;
  const right =
    attributes === undefined ? 'the name of a context attribute' : `one of ${attributes.join(', ')}`;
  problems.add(`${where} names ${quoted(json)}; expected ${right}`);
  return '';
}

function refuseUnknown(json: JsonObject, known: readonly string[], where: string, problems: Problems): void {
  for (const name of Object.keys(json)) {
    if (!known.includes(name))
      problems.add(`${where}${name} is unknown; expected one of ${known.join(', ')}`);
  }
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
