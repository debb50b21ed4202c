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
  return write(begin(templates, told), told.variables);
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
    if (begun && goesOn(begun.told, told)) return writeOn(begun, told.variables);
    begun = begin(templates, told);
    return write(begun, told.variables);
  };
}

/** What the notifications of one notice and locale have in common. */
interface Begun {
  readonly told: Told;
  readonly template: string;
  readonly standIns: ReadonlyMap<string, string>;
  readonly lines: readonly TemplateLine[];
  /** What differs from notice to notice. */
  readonly values: Readonly<Record<Exclude<TemplateVariable, (typeof ofOrder)[number]>, string>>;
  /**
   * The lines as one, all filled in but what differs from order to order; for an order of which nothing is empty.
   * Made for the second notification: a notice of one order is done without.
   */
  whole?: TemplateLine;
}

type Values = Readonly<Partial<Record<TemplateVariable, string>>>;

const ofOrder = ['customer', 'product', 'order'] as const satisfies TemplateVariable[];

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
  const locale =
    [told.locale, told.locale.split(/[-_]/)[0] ?? ''].find((each) => templates.locales.has(each)) ??
    defaultLocale;
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
  return { told, template: `${reason}.${locale}`, standIns, lines, values };
}

/** Writes the first notification of what was begun. */
function write(begun: Begun, variables: TemplateVariables): { template: string; text: string } {
  const { seller, oldDate, newDate, detail } = begun.values;
  const { customer, product, order } = valuesOfOrder(begun, variables);
  const values = { seller, oldDate, newDate, detail, customer, product, order };
  return { template: begun.template, text: writtenLines(begun, values) };
}

/** Writes one more notification of what was begun. */
function writeOn(begun: Begun, variables: TemplateVariables): { template: string; text: string } {
  begun.whole ??= wholeOf(begun);
  const values = valuesOfOrder(begun, variables);
  if (ofOrder.every((variable) => values[variable]))
    return { template: begun.template, text: fill(begun.whole, values) };
  return { template: begun.template, text: writtenLines(begun, { ...begun.values, ...values }) };
}

const valuesOfOrder = ({ standIns }: Begun, variables: TemplateVariables) => ({
  customer: oneLine(variables.customer) || standIns.get('customer') || '',
  product: oneLine(variables.product) || standIns.get('product') || '',
  order: oneLine(variables.order) || standIns.get('order') || '',
});

/** Fills the lines in, without those that name an empty value. */
function writtenLines({ lines }: Begun, values: Values): string {
  const left = lines.filter((line) =>
    line.every((part) => typeof part === 'string' || values[part.variable] !== ''),
  );
  return left.map((line) => fill(line, values)).join('\n');
}

function wholeOf({ lines, values: known }: Begun): TemplateLine {
  const values: Values = known;
  const filled = lines.flatMap((line) => {
    const parts = line.map((part) => (typeof part === 'string' ? part : (values[part.variable] ?? part)));
    return parts.includes('') ? [] : [parts];
  });
  return merged(filled.flatMap((line, at) => (at === 0 ? line : ['\n', ...line])));
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
function fill(line: TemplateLine, values: Values): string {
  let text = '';
  for (const part of line) text += typeof part === 'string' ? part : values[part.variable];
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
