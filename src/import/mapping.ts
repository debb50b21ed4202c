import { readdirSync, readFileSync } from 'node:fs';
import { type Static, Type } from 'typebox';
import { Errors } from 'typebox/value';
import { parse } from 'yaml';
import { adapters } from './adapters.ts';
import type { RowReader } from './row.ts';

const closed = { additionalProperties: false };
const text = (description: string) => Type.String({ minLength: 1, description });

const FieldSchema = Type.Union([
  text('the column it stands in'),
  Type.Object(
    {
      column: text('the column it stands in'),
      default: Type.Optional(
        Type.String({ description: 'what holds if there is no such column, or it is empty' }),
      ),
      values: Type.Optional(
        Type.Record(Type.String(), Type.String(), { description: "the shop's values, and ours for each" }),
      ),
    },
    closed,
  ),
  Type.Object({ constant: Type.String({ description: 'what holds for every row' }) }, closed),
]);

const MappingSchema = Type.Object(
  {
    adapter: Type.Optional(Type.String({ description: 'what makes orders of the rows; default: plain' })),
    delimiter: Type.Optional(Type.String({ pattern: '^[^"\\r\\n]$', description: 'default: a comma' })),
    encoding: Type.Optional(text('of the file, as the WHATWG names them; default: utf-8')),
    phoneCountry: Type.Optional(
      Type.String({ pattern: '^[1-9]\\d{0,2}$', description: 'country code for numbers that begin with 0' }),
    ),
    columns: Type.Record(Type.String(), FieldSchema),
  },
  closed,
);

/** Where one field of a row comes from. */
export interface FieldSource {
  /** Undefined if it is the same for every row. */
  column: string | undefined;
  /** What holds if the column is missing or empty; undefined if it may not be. */
  default: string | undefined;
  /** The shop's values in lower case, and ours for each; undefined if they are the same. */
  values: ReadonlyMap<string, string> | undefined;
}

/** How the columns of one shop's files become our fields; read from `config/mappings/<name>.yaml`. */
export interface Mapping {
  name: string;
  reader: RowReader;
  delimiter: string;
  encoding: string;
  phoneCountry: string | undefined;
  fields: ReadonlyMap<string, FieldSource>;
}

const ours = new URL('../../config/mappings/', import.meta.url);

/** Reads and checks all mappings; throws an error with everything that is wrong in any of them. */
export function loadMappings(directory: URL = ours): Mapping[] {
  const problems: string[] = [];
  const mappings = readdirSync(directory)
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .flatMap((file) => {
      const found = checkMapping(
        file.slice(0, -'.yaml'.length),
        parse(readFileSync(new URL(file, directory), 'utf8')),
      );
      if (!Array.isArray(found)) return [found];
      problems.push(...found.map((problem) => `config/mappings/${file}: ${problem}`));
      return [];
    });
  if (problems.length > 0) throw new Error(`Mappings can't be used:\n  ${problems.join('\n  ')}`);
  return mappings;
}

/** Makes a mapping of what a file holds, or says all that is wrong with it. */
export function checkMapping(name: string, value: unknown): Mapping | string[] {
  const problems = new Set<string>();
  for (const { instancePath, message, keyword } of Errors(MappingSchema, value))
    if (keyword !== 'anyOf')
      problems.add(`${instancePath.slice(1).replaceAll('/', '.') || 'the file'}: ${message}`);
  if (problems.size > 0) return [...problems];

  const {
    adapter = 'plain',
    delimiter = ',',
    encoding = 'utf-8',
    phoneCountry,
    columns,
  } = value as Static<typeof MappingSchema>;
  const reader = adapters[adapter];
  if (!reader) return [`adapter: expected one of ${Object.keys(adapters).join(', ')}, got ${adapter}`];
  const known = [...reader.needs, ...reader.takes];
  for (const field of reader.needs) if (!columns[field]) problems.add(`columns.${field}: missing`);
  for (const field of Object.keys(columns))
    if (!known.includes(field)) problems.add(`columns.${field}: expected one of ${known.join(', ')}`);
  if (!isEncoding(encoding))
    problems.add(`encoding: expected a name such as utf-8 or euc-kr, got ${encoding}`);
  if (problems.size > 0) return [...problems];
  const fields = new Map(
    Object.entries(columns).map(([field, source]) => [field, sourceOf(source)] as const),
  );
  return { name, reader, delimiter, encoding, phoneCountry, fields };
}

function sourceOf(field: Static<typeof FieldSchema>): FieldSource {
  if (typeof field === 'string') return { column: field, default: undefined, values: undefined };
  if ('constant' in field) return { column: undefined, default: field.constant, values: undefined };
  const values =
    field.values && new Map(Object.entries(field.values).map(([from, to]) => [from.toLowerCase(), to]));
  return { column: field.column, default: field.default, values };
}

function isEncoding(label: string): boolean {
  try {
    return new TextDecoder(label).encoding !== '';
  } catch {
    return false;
  }
}

/**
 * Chooses the mapping for a file by its header: the one called `wanted`, else the only one whose columns are all there.
 *
 * Columns with a default need not be there. Throws an error that lists the mappings with what each lacks.
 */
export function chooseMapping(
  mappings: readonly Mapping[],
  header: readonly string[],
  wanted?: string,
): Mapping {
  const named = mappings.filter(({ name }) => wanted === undefined || name === wanted);
  if (named.length === 0)
    throw new Error(
      `There is no mapping ${wanted}; there are: ${mappings.map(({ name }) => name).join(', ')}.`,
    );
  const fitting = named.filter((mapping) => lacking(mapping, header).length === 0);
  const [only] = fitting;
  if (only && fitting.length === 1) return only;
  if (fitting.length > 1)
    throw new Error(
      `Several mappings fit this file: ${fitting.map(({ name }) => name).join(', ')}. Choose one with --mapping.`,
    );
  const lacks = named.map(
    (mapping) => `  ${mapping.name}: the file lacks ${lacking(mapping, header).join(', ')}`,
  );
  throw new Error(
    `${wanted === undefined ? 'No mapping fits' : 'The mapping does not fit'} this file, whose columns are ` +
      `${header.join(', ')}.\n${lacks.join('\n')}\nAdd a mapping for it to config/mappings/ (docs/importing.md).`,
  );
}

function lacking({ fields }: Mapping, header: readonly string[]): string[] {
  return [...fields.values()]
    .flatMap((source) => (source.default === undefined && source.column !== undefined ? [source.column] : []))
    .filter((column) => !header.includes(column));
}
