import assert from 'node:assert/strict';
import { addDays, daysBetween, isShipDate, today } from '../../src/rules/dates.ts';

const at = (time: string) => () => new Date(time);

describe('the days of the shop', () => {
  it("is the shop's day, not the machine's", () => {
    assert.equal(today(at('2026-11-22T14:59:59Z'), 'Asia/Seoul'), '2026-11-22');
    assert.equal(today(at('2026-11-22T15:00:00Z'), 'Asia/Seoul'), '2026-11-23');
    assert.equal(today(at('2026-11-22T15:00:00Z'), 'America/Sao_Paulo'), '2026-11-22');
  });

  it('refuses a time zone that does not exist', () =>
    assert.throws(() => today(at('2026-11-22T00:00:00Z'), 'Asia/Chodang'), RangeError));

  for (const day of ['2026-12-01', '2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31'])
    it(`takes ${day} for a day`, () => assert.ok(isShipDate(day)));

  for (const day of [
    '2026-02-29',
    '1900-02-29',
    '2026-04-31',
    '2026-13-01',
    '2026-00-10',
    '2026-01-00',
    '0000-01-01',
    '2026-1-1',
    '26-01-01',
    '2026-12-01T00:00:00Z',
    ' 2026-12-01',
    '',
    20261201,
    null,
    undefined,
    new Date(),
  ])
    it(`does not take ${JSON.stringify(day)} for a day`, () => assert.ok(!isShipDate(day)));

  it('counts days over months, years and leap days', () => {
    assert.equal(daysBetween('2024-02-28', '2024-03-01'), 2);
    assert.equal(daysBetween('2026-12-31', '2027-01-01'), 1);
    assert.equal(daysBetween('2026-11-22', '2026-11-20'), -2);
  });

  it('moves a day over months, years and clock changes', () => {
    assert.equal(addDays('2026-12-31', 1), '2027-01-01');
    assert.equal(addDays('2024-03-01', -1), '2024-02-29');
    assert.equal(addDays('2026-03-28', 2), '2026-03-30');
  });
});
