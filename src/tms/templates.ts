import { type ReasonCode, reasonCodes } from '../rules/notice.ts';
import {
  parseTemplate,
  type TemplateLine,
  type TemplateVariable,
  templateVariables,
} from './templateText.ts';

/** The locale of a customer whose own has no templates. */
export const defaultLocale = 'ko';

/** Checked templates, made by `loadTemplates`: per locale, per reason, the lines. */
export interface Templates {
  readonly locales: ReadonlyMap<
    string,
    { readonly standIns: ReadonlyMap<string, string>; readonly reasons: ReadonlyMap<string, TemplateLine[]> }
  >;
}

/** Says what is wrong with the templates: everything at once. */
export class InvalidTemplatesError extends Error {
  override name = 'InvalidTemplatesError';
  /** One sentence each, beginning with the place: `ko.reasons.WEATHER: …`. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the templates can't be used:\n  ${problems.join('\n  ')}`);
    this.problems = problems;
  }
}

/**
 * Checks templates once, at start, and makes them ready for `render`.
 *
 * `value` is what `config/templates.yaml` holds: per locale `standIns` (what to say where a value is empty, by
 * variable; may be left out) and `reasons` (a text for every reason code). Each text must name `#{newDate}`.
 * Throws `InvalidTemplatesError` with all that is wrong.
 */
export function loadTemplates(value: unknown): Templates {
  const problems: string[] = [];
  const locales = new Map<string, { standIns: Map<string, string>; reasons: Map<string, TemplateLine[]> }>();
  if (!isRecord(value)) throw new InvalidTemplatesError([`expected locales, got ${describe(value)}`]);
  if (!(defaultLocale in value)) {
    problems.push(`${defaultLocale}: missing; every customer without another locale needs it`);
  }
  for (const [locale, texts] of Object.entries(value)) {
    if (!isRecord(texts)) {
      problems.push(`${locale}: expected standIns and reasons, got ${describe(texts)}`);
      continue;
    }
    for (const key of Object.keys(texts)) {
      if (key !== 'standIns' && key !== 'reasons') {
        problems.push(`${locale}.${key}: unknown; expected standIns or reasons`);
      }
    }
    locales.set(locale, {
      standIns: readStandIns(texts.standIns, `${locale}.standIns`, problems),
      reasons: readReasons(texts.reasons, `${locale}.reasons`, problems),
    });
  }
  if (problems.length > 0) throw new InvalidTemplatesError(problems);
  return { locales };
}

function readStandIns(value: unknown, place: string, problems: string[]): Map<string, string> {
  const standIns = new Map<string, string>();
  if (value === undefined || value === null) return standIns;
  if (!isRecord(value)) {
    problems.push(`${place}: expected words by variable, got ${describe(value)}`);
    return standIns;
  }
  for (const [variable, words] of Object.entries(value)) {
    if (!templateVariables.includes(variable as TemplateVariable)) {
      problems.push(
        `${place}.${variable}: unknown variable; expected one of ${templateVariables.join(', ')}`,
      );
    } else if (typeof words !== 'string' || words.trim() === '') {
      problems.push(`${place}.${variable}: expected words, got ${describe(words)}`);
    } else {
      standIns.set(variable, words);
    }
  }
  return standIns;
}

function readReasons(value: unknown, place: string, problems: string[]): Map<string, TemplateLine[]> {
  const reasons = new Map<string, TemplateLine[]>();
  const texts = isRecord(value) ? value : {};
  for (const reason of reasonCodes) {
    const text = texts[reason];
    if (typeof text !== 'string' || text.trim() === '') {
      problems.push(`${place}.${reason}: expected a text, got ${describe(text)}`);
      continue;
    }
    const lines = parseTemplate(text.trim(), (problem) => problems.push(`${place}.${reason}: ${problem}`));
    if (!lines.flat().some((part) => typeof part !== 'string' && part.variable === 'newDate')) {
      problems.push(`${place}.${reason}: expected #{newDate} in the text: it is what the customer must know`);
    }
    reasons.set(reason, lines);
  }
  for (const key of Object.keys(texts)) {
    if (!reasonCodes.includes(key as ReasonCode)) {
      problems.push(`${place}.${key}: unknown reason; expected one of ${reasonCodes.join(', ')}`);
    }
  }
  return reasons;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const describe = (value: unknown): string =>
  value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
