import { type Static, type TSchema, Type } from 'typebox';
import { fits } from './fits.ts';
import { orderStatuses } from './order.ts';

// The descriptions complete the sentence "expected …". These are the schemas of docs/asyncapi.yaml, which a test
// compares. What Postgres can't keep (NUL, half a surrogate pair) is refused here: it would fail a whole batch.

const id = (description: string) => Type.String({ pattern: '^[^\\p{Cc}\\p{Cs}]{1,100}$', description });
const text = (description: string) => Type.String({ pattern: '^[^\\u0000\\p{Cs}]{0,1000}$', description });

const ofEveryEvent = {
  sellerId: id('the id of a seller: a text of 1 to 100 characters without control characters'),
  orderId: id(
    'an id that the seller has one order of: a text of 1 to 100 characters without control characters',
  ),
  version: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'a whole number that grows with each change of the order, such as 7',
  }),
  status: Type.Enum([...orderStatuses], { description: `one of ${orderStatuses.join(', ')}` }),
};

/** An event as CloudEvents 1.0 has it; attributes that we make nothing of may be there, too. */
const cloudEvent = <Name extends string, Data extends TSchema>(type: Name, data: Data) =>
  Type.Object(
    {
      specversion: Type.Literal('1.0', { description: '"1.0"' }),
      id: Type.String({ minLength: 1, description: 'a text that names the event' }),
      source: Type.String({ minLength: 1, description: 'a text that names the system it comes from' }),
      type: Type.Literal(type, { description: `"${type}"` }),
      data,
    },
    { description: 'an event: a JSON object { specversion, id, source, type, data }' },
  );

/** Says all of an order as it is since this event: one that is new, or that has changed. */
export const OrderUpserted = cloudEvent(
  'order.upserted',
  Type.Object(
    {
      ...ofEveryEvent,
      promisedShipDate: Type.String({
        format: 'date',
        pattern: '^(?!0000)\\d{4}-\\d{2}-\\d{2}$',
        description: 'a calendar day as YYYY-MM-DD, such as 2026-12-01',
      }),
      phone: text('a phone number such as +821012345678, or an empty text if the customer left none'),
      customerName: text('a text of at most 1,000 characters, which may be empty'),
      product: text('a text of at most 1,000 characters, which may be empty'),
      locale: Type.Optional(text('the language the customer reads, such as ko, which it is by default')),
    },
    { description: 'an object with everything about the order' },
  ),
);
export type OrderUpserted = Static<typeof OrderUpserted>;

/** Says that an order has another status since this event, and is otherwise as it was. */
export const OrderStatusChanged = cloudEvent(
  'order.status-changed',
  Type.Object(ofEveryEvent, { description: 'an object { sellerId, orderId, version, status }' }),
);
export type OrderStatusChanged = Static<typeof OrderStatusChanged>;

/** What the shop tells of its orders. */
export type OrderEvent = OrderUpserted | OrderStatusChanged;

/** One event of a message that can't be understood; its neighbours may well be. */
export class MalformedEvent {
  /** As it came. */
  readonly raw: unknown;
  /** Which field it is, what was expected, and what came. */
  readonly problem: string;
  constructor(raw: unknown, problem: string) {
    this.raw = raw;
    this.problem = problem;
  }
}

const kinds = new Map<unknown, TSchema>(
  [OrderUpserted, OrderStatusChanged].map((schema) => [schema.properties.type.const, schema]),
);

/**
 * Reads one event of unknown shape.
 *
 * Fields that are not known are left alone: a shop may tell more than we need to know. That what it must tell is there
 * is looked at, so that a misspelled name doesn't pass for one of those.
 */
export function readEvent(value: unknown): OrderEvent | MalformedEvent {
  const schema = kinds.get((value as { type?: unknown } | null)?.type);
  if (schema && fits(schema, value)) return value as OrderEvent;
  const wrong = schema
    ? problemOf(schema, value, '')
    : isRecord(value)
      ? `type: expected ${[...kinds.keys()].join(' or ')}, got ${shown('type', value['type'])}`
      : `expected an event, a JSON object { specversion, id, source, type, data }, got ${kindOf(value)}`;
  return new MalformedEvent(value, wrong ?? 'expected an event of the order feed');
}

interface SchemaParts {
  properties?: Record<string, TSchema>;
  required?: string[];
  description?: string;
}

/** Finds the first field that departs from its schema; undefined if none does. */
function problemOf(schema: TSchema, value: unknown, path: string): string | undefined {
  const { properties, required = [], description } = schema as SchemaParts;
  if (!properties || !isRecord(value))
    return fits(schema, value)
      ? undefined
      : `${path}: expected ${description ?? 'another value'}, got ${shown(path, value)}`;
  for (const [name, property] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name) && !required.includes(name)) continue;
    const problem = problemOf(property, value[name], path === '' ? name : `${path}.${name}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

const personal = new Set(['data.phone', 'data.customerName']);

/** What came, as far as it may be shown: errors are logged, and kept. */
function shown(path: string, value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return kindOf(value);
  if (personal.has(path)) return `a ${typeof value} that is none`;
  const json = JSON.stringify(value);
  return json.length > 80 ? `${json.slice(0, 80)}…` : json;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'null' : isRecord(value) ? 'an object' : `a ${typeof value}`;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
