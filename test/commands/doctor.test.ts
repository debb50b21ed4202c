import assert from 'node:assert/strict';
import { told } from '../../src/commands/doctor.ts';
import type { Report } from '../../src/doctor/doctor.ts';
import { chodang } from '../support/cli.ts';
import { until } from '../support/wait.ts';
import { aWorld } from '../support/world.ts';

describe('chodang doctor', function () {
  this.timeout(60_000); // each command is a process of its own

  it('prints a report and ends with 0 where all is well, with 1 where something is not', async () => {
    const world = await aWorld();
    await world.start();
    const env = { ...world.env, CHODANG_RABBITMQ_MANAGEMENT_URL: world.vhost.managementUrl };
    await until(
      async () => {
        const { code, stdout, stderr } = await chodang(['doctor'], { env });
        assert.deepEqual([code, stderr], [0, ''], stdout);
        assert.match(stdout, /^ok {5}configuration {2}Node: /);
        assert.match(stdout, /\nok {5}rabbitmq {7}bindings: 16 bindings as declared, and no other\n/);
        assert.match(stdout, /\n\nAll \d+ checks are well\.\n$/);
        return true;
      },
      { what: 'all is well', timeoutMs: 30_000 },
    );
    const away = { ...env, CHODANG_ZOOKEEPER: '127.0.0.1:1' };
    const { code, stderr, json } = await chodang(['doctor', '--json'], { env: away });
    assert.deepEqual([code, stderr], [1, '']);
    const { ok, checks } = json() as Report;
    assert.equal(ok, false);
    const bad = checks.filter(({ status }) => status !== 'ok');
    assert.deepEqual(
      bad.map(({ part, check, status }) => [part, check, status]),
      [['zookeeper', 'server 127.0.0.1:1', 'wrong']],
    );
    await world.close();
  });

  it('makes findings of mistakes in the configuration', async () => {
    const { code, stdout, stderr } = await chodang(['doctor'], {
      env: { CHODANG_HTTP_PORT: 'abc', CHODANG_HTTP_PROT: '1' },
    });
    assert.deepEqual([code, stderr], [1, '']);
    assert.match(
      stdout,
      /WRONG {2}configuration {2}settings: http\.port \(CHODANG_HTTP_PORT\): must be integer, got "abc"\n {22}do: /,
    );
    assert.match(stdout, /CHODANG_HTTP_PROT: there is no setting of that name/);
    assert.match(stdout, /\n\n2 wrong, 0 to look at, 1 well\.\n$/);
  });

  it('tells one line for each check, and below it what to do', () => {
    const text = told({
      ok: false,
      checks: [
        { part: 'gateway', check: 'answers', status: 'ok', found: 'it does' },
        { part: 'zookeeper', check: 'rights', status: 'warn', found: 'open', remedy: 'close them' },
        {
          part: 'postgres',
          check: 'fsync',
          status: 'wrong',
          found: 'off',
          expected: 'on',
          remedy: 'switch it on',
        },
      ],
    });
    assert.equal(
      text,
      `ok     gateway    answers: it does
warn   zookeeper  rights: open
                  do: close them
WRONG  postgres   fsync: off; expected: on
                  do: switch it on

1 wrong, 1 to look at, 1 well.
`,
    );
  });
});
