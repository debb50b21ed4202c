import assert from 'node:assert/strict';
import { ConfigError, loadConfig } from '../../src/config/load.ts';

const problemsOf = (options: Parameters<typeof loadConfig>[0]): readonly string[] => {
  try {
    loadConfig(options);
  } catch (error) {
    assert(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
};

describe('configuration', () => {
  it('is complete and without mistakes as it comes, in every environment', () => {
    for (const CHODANG_ENV of ['default', 'production', 'test'])
      assert.deepEqual(problemsOf({ env: { CHODANG_ENV } }), []);
  });

  it('gives every step the defaults, and its own values over them', () => {
    const { steps } = loadConfig({ env: {}, overlay: { steps: { tms: { maxAttempts: 9 } } } });
    assert.equal(steps.tms?.maxAttempts, 9);
    assert.equal(steps.delay?.maxAttempts, 5);
    assert.equal(steps.tms?.circuit.failures, 3);
  });

  it('takes every single value from its environment variable, in its type', () => {
    const config = loadConfig({
      env: {
        CHODANG_POSTGRES_URL: 'postgres://db.example/chodang',
        CHODANG_ZOOKEEPER: 'a.example:2181,b.example:2181',
        CHODANG_HTTP_PORT: '9090',
        CHODANG_STEPS_TMS_LANES_BULK_CONSUMERS_MAX: '7',
        CHODANG_SWITCHES_DELAY_NOTICE_PATH_BY: 'noticeId',
      },
    });
    assert.equal(config.postgres.url, 'postgres://db.example/chodang');
    assert.equal(config.zookeeper.connect, 'a.example:2181,b.example:2181');
    assert.equal(config.http.port, 9090);
    assert.equal(config.steps.tms?.lanes.bulk?.consumers.max, 7);
    assert.equal(config.switches['delay-notice-path']?.by, 'noticeId');
  });

  it('minds no variable of ours that stands for itself', () => {
    const CHODANG_RABBITMQ_MANAGEMENT_URL = 'http://127.0.0.1:15672';
    assert.deepEqual(problemsOf({ env: { CHODANG_RABBITMQ_MANAGEMENT_URL, CHODANG_DEBUG: '1' } }), []);
  });

  it('shows no secret in a mistake', () => {
    const [problem, ...others] = problemsOf({ env: { CHODANG_ZOOKEEPER_AUTH: 'sweetcorn' } });
    assert.match(problem ?? '', /^zookeeper\.auth \(CHODANG_ZOOKEEPER_AUTH\): must match pattern [^,]*$/);
    assert.ok(!problem?.includes('sweetcorn'));
    assert.deepEqual(others, []);
  });

  describe('for alerts', () => {
    const webhookUrl = 'https://hooks.example/t00/secret';
    const whsec = (bytes: number) => `whsec_${Buffer.alloc(bytes, 255).toString('base64')}`;
    const problems = (alerts: object) => problemsOf({ env: {}, overlay: { alerts } });

    it('takes a webhook with its secret, or two secrets while one replaces the other', () => {
      assert.deepEqual(problems({ slackUrl: webhookUrl, webhookUrl, webhookSecret: whsec(24) }), []);
      assert.deepEqual(problems({ webhookUrl, webhookSecret: `${whsec(32)} ${whsec(64)}` }), []);
    });

    it('wants a secret where there is a webhook, and says how to make one', () => {
      const [problem, ...others] = problems({ webhookUrl });
      assert.match(
        problem ?? '',
        /^alerts\.webhookSecret \(CHODANG_ALERTS_WEBHOOK_SECRET\): missing: .*openssl rand/,
      );
      assert.deepEqual(others, []);
    });

    for (const [what, webhookSecret] of [
      ['another prefix', `secret_${whsec(32).slice(6)}`],
      ['no base64', 'whsec_sweet corn!'],
      ['base64 without its end', whsec(32).replace(/=+$/, '')],
      ['too few bytes', whsec(23)],
      ['too many bytes', whsec(65)],
      ['a good one and a bad one', `${whsec(32)} ${whsec(9)}`],
    ] as const)
      it(`refuses a secret with ${what}, and does not show it`, () => {
        const [problem, ...others] = problems({ webhookUrl, webhookSecret });
        assert.match(
          problem ?? '',
          /^alerts\.webhookSecret .*: expected whsec_ and the base64 of 24 to 64 bytes/,
        );
        assert.ok(!problem?.includes(webhookSecret));
        assert.deepEqual(others, []);
      });

    for (const url of [
      'hooks.example/secret',
      'ftp://hooks.example/secret',
      'https://me:secret@hooks.example',
    ])
      it(`refuses ${url}, and does not show it`, () => {
        const [problem, ...others] = problems({ slackUrl: url });
        assert.match(problem ?? '', /^alerts\.slackUrl \(CHODANG_ALERTS_SLACK_URL\): expected an address/);
        assert.ok(!problem?.includes('secret'));
        assert.deepEqual(others, []);
      });

    it('shows none of them where it expected another type', () => {
      const secrets = { slackUrl: 712, webhookUrl: 712, webhookSecret: 712 };
      assert.equal(problems(secrets).length, 3);
      assert.ok(!problems(secrets).join().includes('712'));
    });
  });

  it('tells all mistakes at once, each with its path and environment variable', () => {
    const problems = problemsOf({
      env: { CHODANG_HTTP_PORT: 'eighty', CHODANG_HTPP_PORT: '1' },
      overlay: { limits: { maxDelays: 0 }, legacy: { intervall: 5 }, tms: { url: 'ftp://x' } },
    });
    const expect = (pattern: RegExp) =>
      assert(
        problems.some((each) => pattern.test(each)),
        `${pattern}\n${problems.join()}`,
      );
    expect(/^http\.port \(CHODANG_HTTP_PORT\): .*integer, got "eighty"/);
    expect(/^CHODANG_HTPP_PORT: there is no setting of that name/);
    expect(/^limits\.maxDelays \(CHODANG_LIMITS_MAX_DELAYS\): must be >= 1, got 0/);
    expect(/^legacy\.intervall: is no setting we know/);
    expect(/^tms\.url \(CHODANG_TMS_URL\): .*got "ftp:\/\/x"/);
    assert.equal(problems.length, 5, problems.join('\n'));
  });

  for (const [what, overlay, pattern] of [
    ['a lane nobody fits in', { lanes: { bulk: { maxOrders: 5 } } }, /one lane must have no maxOrders/],
    [
      'more actors at least than at most',
      { stepDefaults: { lanes: { bulk: { consumers: { min: 9 } } } } },
      /min 9/,
    ],
    [
      'a fallback that is no variant',
      { switches: { 'delay-notice-path': { fallback: 'new' } } },
      /"new" is none/,
    ],
    [
      'a time zone that is none',
      { shop: { timeZone: 'Seoul' } },
      /expected an IANA time zone .* got "Seoul"/,
    ],
    ['a batch that can never fill', { stepDefaults: { lanes: { bulk: { prefetch: 1 } } } }, /can never fill/],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.match(problemsOf({ env: {}, overlay }).join('\n'), pattern);
    });

  it('names the file that an unknown CHODANG_ENV asks for', () => {
    assert.match(problemsOf({ env: { CHODANG_ENV: 'prod' } }).join(), /no config\/prod\.yaml/);
  });
});
