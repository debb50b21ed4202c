import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

const validators = new WeakMap<TSchema, Validator>();

/**
 * Tells whether a value is as `schema` has it. The schema is compiled when it is first asked for and then kept, as long
 * as somebody has it: compiling that of one field takes as long as thousands of checks.
 */
export function fits(schema: TSchema, value: unknown): boolean {
  let validator = validators.get(schema);
  if (validator === undefined) validators.set(schema, (validator = Compile(schema)));
  return validator.Check(value);
}
