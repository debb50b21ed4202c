import type { TSchema } from 'typebox';
import { fits } from '../rules/fits.ts';
import type { FieldError } from './problem.ts';

/** At most this many wrong fields are named in one answer. */
const maxErrors = 8;

interface SchemaParts {
  type?: string;
  description?: string;
  properties?: Record<string, TSchema>;
  required?: string[];
  additionalProperties?: unknown;
  items?: TSchema;
  minItems?: number;
  maxItems?: number;
}

/**
 * Says in a seller's words where `value` departs from `schema`: at most 8 places, empty if none was found.
 *
 * What is expected is each field's `description`, which therefore completes "expected …".
 * TypeBox's own `Errors` walks through all of a list of millions, seconds long; this stops early.
 */
export function explain(schema: TSchema, value: unknown, pointer = '#'): FieldError[] {
  const errors: FieldError[] = [];
  walk(schema, value, pointer, errors);
  return errors;
}

function walk(schema: TSchema, value: unknown, pointer: string, errors: FieldError[]): void {
  if (errors.length >= maxErrors) return;
  const parts = schema as SchemaParts;
  if (parts.type === 'object' && isRecord(value)) walkObject(parts, value, pointer, errors);
  else if (parts.type === 'array' && Array.isArray(value)) walkArray(parts, value, pointer, errors);
  else if (!fits(schema, value)) errors.push({ pointer, expected: expectedBy(parts), got: got(value) });
}

function walkObject(
  schema: SchemaParts,
  value: Record<string, unknown>,
  pointer: string,
  errors: FieldError[],
): void {
  const properties = schema.properties ?? {};
  const names = Object.keys(properties).join(', ');
  for (const name in value) {
    if (Object.hasOwn(properties, name) || schema.additionalProperties !== false) continue;
    errors.push({
      pointer: child(pointer, name),
      expected: `no such field, only ${names}`,
      got: got(value[name]),
    });
    if (errors.length >= maxErrors) return;
  }
  for (const [name, property] of Object.entries(properties)) {
    if (Object.hasOwn(value, name)) walk(property, value[name], child(pointer, name), errors);
    else if (schema.required?.includes(name))
      errors.push({
        pointer: child(pointer, name),
        expected: expectedBy(property),
        got: 'nothing',
      });
  }
}

function walkArray(schema: SchemaParts, value: unknown[], pointer: string, errors: FieldError[]): void {
  if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? Infinity)) {
    errors.push({ pointer, expected: expectedBy(schema), got: got(value) });
    return;
  }
  for (const [index, item] of value.entries()) {
    if (errors.length >= maxErrors) return;
    if (schema.items !== undefined) walk(schema.items, item, child(pointer, String(index)), errors);
  }
}

function expectedBy(schema: SchemaParts): string {
  return (
    schema.description ?? (schema.type === undefined ? 'another value' : `a value of type ${schema.type}`)
  );
}

/** Says what came, short enough for a sentence and safe to print: control characters are escaped. */
function got(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${count(value.length)}`;
  if (isRecord(value)) return 'an object';
  if (typeof value !== 'string') return JSON.stringify(value) ?? typeof value;
  const characters = Array.from(value.slice(0, 1000));
  if (characters.length <= 60) return JSON.stringify(value);
  const length = value.length > 1000 ? `about ${count(value.length)}` : count(characters.length);
  return `${JSON.stringify(characters.slice(0, 40).join(''))}… of ${length} characters`;
}

const count = (n: number) => n.toLocaleString('en-US');
const child = (pointer: string, name: string) =>
  `${pointer}/${encodeURIComponent(wellFormed(name.slice(0, 100)).replaceAll('~', '~0').replaceAll('/', '~1'))}`;
/** A lone half of a surrogate pair can't be percent-encoded; UTF-8 makes it U+FFFD. */
const wellFormed = (text: string) => Buffer.from(text).toString();
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
