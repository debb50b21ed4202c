import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { longestDetail, render, renderer, type TemplateVariables, type Told } from '../../src/tms/render.ts';
import { loadTemplates } from '../../src/tms/templates.ts';

const templates = loadTemplates(
  parse(readFileSync(new URL('../../config/templates.yaml', import.meta.url), 'utf8')),
);

const variables = (own: Partial<TemplateVariables> = {}): TemplateVariables => ({
  customer: '김옥수',
  seller: '초당농장',
  product: '초당옥수수 10개',
  order: '2026-0001',
  oldDate: '2026-11-28',
  newDate: '2026-12-01',
  ...own,
});

describe('render', () => {
  it('writes a whole notification', () => {
    const { text } = render(templates, {
      reason: 'WEATHER',
      locale: 'ko',
      variables: variables({ detail: '비가 그치는 대로 수확합니다.' }),
    });
    assert.equal(
      text,
      [
        '[초당농장] 발송 지연 안내',
        '',
        '김옥수님, 안녕하세요.',
        '주문하신 상품의 발송이 늦어지게 되어 진심으로 사과드립니다.',
        '',
        '■ 상품: 초당옥수수 10개',
        '■ 주문번호: 2026-0001',
        '■ 기존 발송 예정일: 11월 28일(토)',
        '■ 변경 발송 예정일: 12월 1일(화)',
        '■ 지연 사유: 날씨의 영향으로 수확과 출고가 늦어지고 있습니다.',
        '■ 판매자 안내: 비가 그치는 대로 수확합니다.',
        '',
        '가장 좋은 상태로 보내드리기 위한 결정이오니 너그러운 양해 부탁드립니다.',
      ].join('\n'),
    );
  });

  for (const [locale, used] of [
    ['ko', 'ko'],
    ['ko-KR', 'ko'],
    ['en_US', 'en'],
    ['fr', 'ko'],
    ['', 'ko'],
    ['__proto__', 'ko'],
  ] as const) {
    it(`uses ${used} for a customer of locale ${JSON.stringify(locale)}`, () => {
      const { template } = render(templates, { reason: 'ETC', locale, variables: variables() });
      assert.equal(template, `ETC.${used}`);
    });
  }

  it('says 고객 to a customer without a name, and leaves the line of a product without a name out', () => {
    const { text } = render(templates, {
      reason: 'ETC',
      locale: 'ko',
      variables: variables({ customer: ' ', product: '' }),
    });
    assert.match(text, /^고객님, 안녕하세요\.$/m);
    assert.doesNotMatch(text, /상품:/);
  });

  it('puts values in once, as one line each', () => {
    const detail = '비 #{newDate}\n\n■ 환불: \u0000010-0000-0000';
    const { text } = render(templates, { reason: 'ETC', locale: 'ko', variables: variables({ detail }) });
    assert.match(text, /^■ 지연 사유: 비 #\{newDate\} ■ 환불: 010-0000-0000$/m);
  });

  it('cuts a detail after 300 characters, and no character in half', () => {
    const kept = render(templates, {
      reason: 'ETC',
      locale: 'ko',
      variables: variables({ detail: '🌽'.repeat(longestDetail) }),
    });
    assert.ok(kept.text.includes('🌽'.repeat(300)));
    const { text } = render(templates, {
      reason: 'ETC',
      locale: 'ko',
      variables: variables({ detail: '🌽'.repeat(longestDetail + 1) }),
    });
    assert.match(text, /: (🌽){299}…$/mu);
  });

  for (const date of ['2026-02-30', '2026-13-01', '01.12.2026', '']) {
    it(`refuses ${JSON.stringify(date)} as a date`, () => {
      assert.throws(
        () => render(templates, { reason: 'ETC', locale: 'ko', variables: variables({ newDate: date }) }),
        RangeError,
      );
    });
  }

  it('leaves out the lines of what is empty, and only those, whatever was written before', () => {
    const linesOf = (own: Partial<TemplateVariables>) =>
      render(templates, { reason: 'WEATHER', locale: 'ko', variables: variables(own) }).text.split('\n');
    const detail = '비가 그치는 대로 수확합니다.';
    const all = linesOf({ detail });
    const without = (...names: string[]) =>
      all.filter((line) => !names.some((name) => line.startsWith(`■ ${name}: `)));
    assert.equal(without('판매자 안내', '상품').length, all.length - 2);
    assert.deepEqual(linesOf({}), without('판매자 안내'));
    assert.deepEqual(linesOf({ detail }), all);
    assert.deepEqual(linesOf({ detail: ' ', product: '' }), without('판매자 안내', '상품'));
    assert.deepEqual(linesOf({ detail, product: '' }), without('상품'));
    assert.deepEqual(linesOf({ detail, seller: '' }), all.slice(1));
  });

  it('writes the same in a row as one by one, whatever changes from one to the next', () => {
    const changes: Partial<Told & TemplateVariables>[] = [
      {},
      { order: '2026-0002', customer: '' },
      { product: '' },
      { product: '복숭아', detail: 'Hail' },
      { oldDate: '2026-11-27' },
      { newDate: '2026-12-02' },
      { seller: '' },
      { locale: 'en' },
      { reason: 'ETC' },
      { customer: '', product: '', order: '' },
      {},
    ];
    const inARow = renderer(templates);
    for (const { reason = 'WEATHER', locale = 'ko', ...own } of [...changes, ...changes.toReversed()]) {
      const told = { reason, locale, variables: variables(own) };
      assert.deepEqual(inARow(told), render(templates, told));
    }
  });
});
