import type { ReasonCode, ShipDate } from '../rules/notice.ts';
import { writeShipDate } from './shipDates.ts';
import { defaultLocale, type Templates } from './templates.ts';
import type { TemplateLine, TemplateVariable } from './templateText.ts';

/** The longest detail that reaches a customer, in characters. */
export const longestDetail = 300;

/** The values of one notification. A line of a template that names an empty one is left out. */
export interface TemplateVariables {
  /** The customer's name. */
  customer: string;
  seller: string;
  product: string;
  /** The order's id. */
  order: string;
  /** The date the customer had so far. */
  oldDate: ShipDate;
  newDate: ShipDate;
  /** The seller's own words; cut after `longestDetail` characters. */
  detail?: string | undefined;
}

/** What `render` writes a notification from. */
export interface Told {
  reason: ReasonCode;
  locale: string;
  variables: TemplateVariables;
}

/**
 * Writes one notification. `template` names what it was rendered from, e.g. `WEATHER.ko`.
 *
 * An unknown locale (`ko-KR` counts as `ko`) falls back to `defaultLocale`. Values are put in once and as one
 * line each: what a seller writes can't name variables or imitate lines of the shop.
 * Throws a `RangeError` if a date isn't one.
 */
export function render(templates: Templates, told: Told): { template: string; text: string } {
  const begun = begin(templates, told);
  return write(begun, begun.whole, told.variables);
}

/** Writes one notification. */
export type Render = (told: Told) => { template: string; text: string };

/**
 * Makes a `render` for many notifications in a row: what one has in common with the one before it, which is
 * nearly all of a notice, is put in once.
 */
export function renderer(templates: Templates): Render {
  let begun: Begun | undefined;
  return (told) => {
    if (begun && goesOn(begun.told, told)) return write(begun, filledOf(begun), told.variables);
    begun = begin(templates, told);
    return write(begun, begun.whole, told.variables);
  };
}

/** What the notifications of one notice and locale have in common. */
interface Begun {
  readonly told: Told;
  readonly template: string;
  readonly standIns: ReadonlyMap<string, string>;
  readonly lines: readonly TemplateLine[];
  /** What differs from notice to notice. */
  readonly values: OfNotice;
  /** The lines as one, for an order of which nothing is empty. */
  readonly whole: TemplateLine;
  /** See `filledOf`. */
  filled?: TemplateLine;
}

type OrderVariable = 'customer' | 'product' | 'order';
type OfOrder = Readonly<Record<OrderVariable, string>>;
type OfNotice = Readonly<Record<Exclude<TemplateVariable, OrderVariable>, string>>;

const isOfOrder = (variable: TemplateVariable): variable is OrderVariable =>
  variable === 'customer' || variable === 'product' || variable === 'order';

function goesOn(before: Told, now: Told): boolean {
  const { variables } = now;
  return (
    before.reason === now.reason &&
    before.locale === now.locale &&
    before.variables.seller === variables.seller &&
    before.variables.oldDate === variables.oldDate &&
    before.variables.newDate === variables.newDate &&
    before.variables.detail === variables.detail
  );
}

function begin(templates: Templates, told: Told): Begun {
  const { reason, variables } = told;
  const locale = localeOf(templates, told.locale);
  const found = templates.locales.get(locale);
  const lines = found?.reasons.get(reason);
  if (!found || !lines)
    throw new Error(`expected a template for reason ${reason} and locale ${locale}, found none`);
  const { standIns } = found;
  const values = {
    seller: oneLine(variables.seller) || standIns.get('seller') || '',
    oldDate: writeShipDate(variables.oldDate, locale),
    newDate: writeShipDate(variables.newDate, locale),
    detail: cut(oneLine(variables.detail ?? ''), longestDetail) || standIns.get('detail') || '',
  };
  const whole = wholeOf(lines, values);
  return { told, template: `${reason}.${locale}`, standIns, lines, values, whole };
}

function localeOf({ locales }: Templates, wanted: string): string {
  if (locales.has(wanted)) return wanted;
  const [language = ''] = wanted.split(/[-_]/);
  return locales.has(language) ? language : defaultLocale;
}

/**
 * Writes a notification of what was begun: fills `whole` in or, if something of the order is empty, the lines that are
 * left.
 */
function write(
  { template, standIns, lines, values: known }: Begun,
  whole: TemplateLine,
  variables: TemplateVariables,
): { template: string; text: string } {
  const customer = oneLine(variables.customer) || standIns.get('customer') || '';
  const product = oneLine(variables.product) || standIns.get('product') || '';
  const order = oneLine(variables.order) || standIns.get('order') || '';
  const values = { customer, product, order };
  const isWhole = customer !== '' && product !== '' && order !== '';
  return { template, text: fill(isWhole ? whole : joined(lines, { ...known, ...values }), known, values) };
}

/**
 * The whole of what was begun, filled in as far as orders don't differ. Made for the second notification: a notice of one
 * order is done without.
 */
function filledOf(begun: Begun): TemplateLine {
  const { whole, values } = begun;
  return (begun.filled ??= merged(
    whole.map((part) =>
      typeof part === 'string' || isOfOrder(part.variable) ? part : values[part.variable],
    ),
  ));
}

/** The lines of templates as one, by the values that are empty: few, and needed by each notice anew. */
const wholes = new WeakMap<readonly TemplateLine[], Map<string, TemplateLine>>();

function wholeOf(lines: readonly TemplateLine[], values: OfNotice): TemplateLine {
  const { seller, oldDate, newDate, detail } = values;
  const empty = `${seller === ''} ${oldDate === ''} ${newDate === ''} ${detail === ''}`;
  const known = wholes.get(lines)?.get(empty);
  if (known !== undefined) return known;
  const whole = joined(lines, values);
  wholes.set(lines, (wholes.get(lines) ?? new Map<string, TemplateLine>()).set(empty, whole));
  return whole;
}

/** Puts lines together, without those that name an empty value. */
function joined(
  lines: readonly TemplateLine[],
  values: Readonly<Partial<Record<TemplateVariable, string>>>,
): TemplateLine {
  const left = lines.filter((line) =>
    line.every((part) => typeof part === 'string' || values[part.variable] !== ''),
  );
  return merged(left.flatMap((line, at) => (at === 0 ? line : ['\n', ...line])));
}

/** Adds up what stands side by side: each piece of a text costs time and memory for every customer. */
function merged(parts: TemplateLine): TemplateLine {
  const all: TemplateLine = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (typeof part === 'string' && typeof last === 'string') all[all.length - 1] = last + part;
    else all.push(part);
  }
  return all;
}

/** Puts the values in. It adds up one text: a list to join costs ten times the memory. */
function fill(line: TemplateLine, ofNotice: OfNotice, ofOrder: OfOrder): string {
  let text = '';
  for (const part of line) {
    if (typeof part === 'string') text += part;
    else text += isOfOrder(part.variable) ? ofOrder[part.variable] : ofNotice[part.variable];
  }
  return text;
}

// Control characters too: no provider takes a NUL. Most values are fine as they are, and looking is cheap.
const oneLine = (value: string): string =>
  untidy.test(value) ? value.replace(/[\s\p{Cc}]+/gu, ' ').trim() : value;
const untidy = /^\s|\s$|\s\s|[^\S ]|\p{Cc}/u;

function cut(value: string, longest: number): string {
  if (value.length <= longest) return value;
  const characters = Array.from(value);
  return characters.length <= longest ? value : `${characters.slice(0, longest - 1).join('')}…`;
}
