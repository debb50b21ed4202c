import assert from 'node:assert/strict';
import { slackBody } from '../../src/alerts/slack.ts';
import { type Alert, alertKinds } from '../../src/store/alerts.ts';
import { aBundle, anAlert, newGroups } from './receiver.ts';

const textOf = (alerts: Alert[]) => (JSON.parse(slackBody(aBundle(alerts))) as { text: string }).text;

describe('What Slack is told', () => {
  it('is what there is of each kind, some by name, how many more, and the command to look', () => {
    const storm = anAlert({
      kind: 'retriable storm',
      subject: 'step tms',
      detail: { ordersRun: 1_200, step: 'tms', error: null },
    });
    assert.deepEqual(textOf([...newGroups(47), storm]).split('\n'), [
      '*Chodang: 47 new groups of failures, 1 storm of retries*',
      '*47 new groups of failures* (see `chodang failed list --group 1`)',
      '• group 1: step tms, open 1',
      '• group 2: step tms, open 1',
      '• group 3: step tms, open 1',
      '• group 4: step tms, open 1',
      '• group 5: step tms, open 1',
      '… and 42 more',
      '*1 storm of retries*',
      '• step tms: orders run 1,200',
    ]);
  });

  it('names ten where there is one kind only', () => {
    const lines = textOf(newGroups(10)).split('\n');
    assert.equal(lines.length, 12);
    assert.equal(lines.at(-1), '• group 10: step tms, open 1');
    assert.equal(textOf(newGroups(11)).split('\n').at(-1), '… and 1 more');
  });

  it('mentions nobody, links to nothing and formats nothing, whatever an error says', () => {
    const message = '<!channel> <https://evil.example|`click`> & *now*';
    const text = textOf([anAlert({ detail: { message } })]);
    assert.match(text, /message &lt;!channel&gt; &lt;https:\/\/evil\.example\|'click'&gt; &amp; \*now\*$/);
    assert.ok(!/<|>/.test(text));
  });

  it('shows no personal data', () => {
    const text = textOf([anAlert({ detail: { message: 'no such number +821012345678, hong@example.com' } })]);
    assert.match(text, /no such number \+82…78, …@…$/);
  });

  it('has one line for each, however many an error has', () => {
    assert.equal(
      textOf([anAlert({ detail: { message: 'one\ntwo\r\n\tthree' } })])
        .split('\n')
        .at(-1),
      '• group 12: message one two three',
    );
  });

  it('stays below what Slack takes, whatever is in it', () => {
    const long = { message: '&'.repeat(90_000), error: '초당🌽'.repeat(9_000), errorClass: '<'.repeat(500) };
    const text = textOf(
      alertKinds.flatMap((kind) => Array.from({ length: 3_000 }, () => anAlert({ kind, detail: long }))),
    );
    assert.ok(text.length < 4_500, `${text.length} characters`);
    assert.ok(!/\p{Surrogate}/u.test(text), 'no half of a character');
    for (const word of ['2,99', 'storms of retries']) assert.ok(text.includes(word), text);
  });
});
