import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { reasonCodes } from '../../src/rules/notice.ts';
import { render, type TemplateVariables } from '../../src/tms/render.ts';
import { InvalidTemplatesError, loadTemplates } from '../../src/tms/templates.ts';

const shipped = parse(
  readFileSync(new URL('../../config/templates.yaml', import.meta.url), 'utf8'),
) as Record<string, { standIns?: Record<string, unknown>; reasons: Record<string, unknown> }>;
const templates = loadTemplates(shipped);

const variables = (own: Partial<TemplateVariables> = {}): TemplateVariables => ({
  customer: '김옥수',
  seller: '초당농장',
  product: '초당옥수수 10개',
  order: '2026-0001',
  oldDate: '2026-11-28',
  newDate: '2026-12-01',
  ...own,
});

describe('the templates we ship', () => {
  for (const locale of ['ko', 'en']) {
    for (const reason of reasonCodes) {
      it(`read naturally for ${reason} in ${locale}, with and without a detail`, () => {
        const dates =
          locale === 'ko' ? ['11월 28일(토)', '12월 1일(화)'] : ['Sat, 28 November', 'Tue, 1 December'];
        const without = render(templates, { reason, locale, variables: variables() });
        const withDetail = render(templates, {
          reason,
          locale,
          variables: variables({ detail: '태풍으로 수확이 미뤄졌습니다.' }),
        });
        assert.equal(without.template, `${reason}.${locale}`);
        for (const { text } of [without, withDetail]) {
          for (const word of ['김옥수', '초당농장', '초당옥수수 10개', '2026-0001', ...dates]) {
            assert.ok(text.includes(word), `expected ${word} in ${text}`);
          }
          assert.doesNotMatch(text, /#\{|undefined|\n\n\n/);
          assert.doesNotMatch(text, / *: *$/m, 'no line may end after its label');
        }
        assert.equal(withDetail.text.split('\n').length, without.text.split('\n').length + 1);
        assert.ok(withDetail.text.includes('태풍으로 수확이 미뤄졌습니다.'));
      });
    }
  }
});

describe('loadTemplates', () => {
  it('reports everything that is wrong at once', () => {
    const value = structuredClone(shipped);
    value.ko = { ...value.ko, reasons: { ...value.ko?.reasons } };
    delete value.ko.reasons.WEATHER;
    value.ko.reasons.ETC = '#{newDate} #{phone}';
    value.ko.reasons.CUSTOM_BUILD = '#{newDate}\n#{seller and more';
    value.ko.reasons.ORDER_FLOOD = 'without a date';
    value.ko.reasons.TYPHOON = '#{newDate}';
    value.en = { standIns: { customer: 7, nobody: 'x' }, reasons: { ...value.en?.reasons, ETC: 12 } };
    value.de = 'Hallo' as never;
    const problems = problemsOf(value);
    const expected = [
      /^ko\.reasons\.WEATHER: expected a text, got nothing/,
      /^ko\.reasons\.ETC: line 1: unknown variable #\{phone\}; expected one of customer/,
      /^ko\.reasons\.CUSTOM_BUILD: line 2: expected "\}" after "#\{seller and more"/,
      /^ko\.reasons\.ORDER_FLOOD: expected #\{newDate\}/,
      /^ko\.reasons\.TYPHOON: unknown reason/,
      /^en\.standIns\.customer: expected words, got 7/,
      /^en\.standIns\.nobody: unknown variable/,
      /^en\.reasons\.ETC: expected a text, got 12/,
      /^de: expected standIns and reasons, got "Hallo"/,
    ];
    for (const each of expected) {
      assert.ok(
        problems.some((problem) => each.test(problem)),
        `expected ${each} in\n${problems.join('\n')}`,
      );
    }
    assert.equal(problems.length, expected.length);
  });

  for (const [what, value] of [
    ['nothing', undefined],
    ['a list', []],
    ['a locale without texts', { ko: null }],
    ['templates without the default locale', { en: shipped.en }],
    ['an unknown part', { ...shipped, en: { ...shipped.en, footer: 'x' } }],
  ] as const) {
    it(`refuses ${what}`, () => assert.ok(problemsOf(value).length > 0));
  }
});

function problemsOf(value: unknown): readonly string[] {
  try {
    loadTemplates(value);
  } catch (error) {
    assert.ok(error instanceof InvalidTemplatesError, String(error));
    return error.problems;
  }
  return assert.fail('expected InvalidTemplatesError');
}
