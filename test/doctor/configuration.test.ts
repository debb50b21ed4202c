import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/load.ts';
import type { Check } from '../../src/doctor/check.ts';
import { configurationFindings, node } from '../../src/doctor/configuration.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { says } from './patient.ts';

const addresses = {
  CHODANG_POSTGRES_URL: 'postgres://chodang:secret@db.example/chodang',
  CHODANG_RABBITMQ_URL: 'amqp://chodang:secret@mq.example',
  CHODANG_ZOOKEEPER: 'zk.example:2181',
  CHODANG_TMS_URL: 'https://tms.example',
};

/** What is found of the configuration with this environment. */
const checks = (env: Record<string, string>): Check[] => {
  let settings: Parameters<typeof configurationFindings>[0];
  try {
    settings = loadConfig({ env });
  } catch (error) {
    settings = error as Error;
  }
  return configurationFindings(settings, 'default').map((finding) => ({ part: 'configuration', ...finding }));
};

describe('the doctor on the configuration', () => {
  it('says where everything is', () => {
    says(checks(addresses), 'settings', 'ok', /CHODANG_ENV=default; Postgres .*db\.example.*tms\.example/);
  });

  it('names each address that nobody said', () => {
    const found = checks({ ...addresses, CHODANG_RABBITMQ_URL: '', CHODANG_TMS_URL: '' });
    says(
      found,
      'address of RabbitMQ',
      'wrong',
      /nobody said/,
      /set CHODANG_RABBITMQ_URL, or run "chodang stack up"/,
    );
    says(found, 'address of the TMS gateway', 'wrong', /nobody said/);
    assert.equal(found.filter(({ status }) => status === 'wrong').length, 2);
  });

  it('tells every mistake, and looks at nothing else', async () => {
    const env = {
      ...addresses,
      CHODANG_HTTP_PORT: 'abc',
      CHODANG_POSTGRES_URL: 'mysql://chodang:secret@db.example',
    };
    let mistakes: Error | undefined;
    try {
      loadConfig({ env });
    } catch (error) {
      mistakes = error as Error;
    }
    const { ok, checks } = await examine({ settings: mistakes! });
    assert.equal(ok, false);
    assert.deepEqual(
      checks.map(({ part, check, status }) => `${part}: ${check}: ${status}`),
      ['configuration: Node: ok', 'configuration: settings: wrong', 'configuration: settings: wrong'],
    );
    const text = JSON.stringify(checks);
    assert.match(text, /http\.port \(CHODANG_HTTP_PORT\): must be integer/);
    assert.match(text, /mysql:\/\/chodang:…@db\.example/);
  });

  it('tells of what is no ConfigError too', async () => {
    const { checks } = await examine({ settings: new Error('config/default.yaml: bad indentation') });
    says(checks, 'settings', 'wrong', /bad indentation/);
  });

  it('knows which Node will do', () => {
    for (const version of ['20.19.0', '20.20.1', '22.1.0', '24.0.0'])
      assert.equal(node(version).status, 'ok');
    for (const version of ['18.20.0', '20.18.3']) assert.equal(node(version).status, 'wrong');
  });
});
