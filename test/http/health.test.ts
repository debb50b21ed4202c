import assert from 'node:assert/strict';
import { type Api, startApi } from './api.ts';

describe('Health', () => {
  let api: Api;
  const checks: Record<string, () => Promise<void>> = {};
  before(async () => {
    api = await startApi({ checks, timeoutMs: 30, metrics: async () => '# HELP x y\nx 1\n' });
  });
  after(() => api.close());
  beforeEach(() => {
    checks['postgres'] = async () => {};
    checks['rabbitmq'] = async () => {};
  });
  const ready = async () => {
    const response = await api.app.inject('/health/ready');
    return [response.statusCode, response.json<unknown>()];
  };

  it('is live whatever else is broken', async () => {
    checks['postgres'] = async () => Promise.reject(new Error('away'));
    const response = await api.app.inject('/health/live');
    assert.equal(response.statusCode, 200);
    assert.deepEqual(response.json(), { status: 'ok' });
  });

  it('is ready when every check passes', async () => {
    assert.deepEqual(await ready(), [200, { status: 'ok', checks: { postgres: 'ok', rabbitmq: 'ok' } }]);
  });

  it('is not ready when a check fails, and says which and why', async () => {
    checks['rabbitmq'] = async () => Promise.reject(new Error('RabbitMQ is away'));
    assert.deepEqual(await ready(), [
      503,
      { status: 'unavailable', checks: { postgres: 'ok', rabbitmq: 'RabbitMQ is away' } },
    ]);
  });

  it('does not wait for a check that never answers', async () => {
    checks['postgres'] = () => new Promise(() => {});
    assert.deepEqual(await ready(), [
      503,
      { status: 'unavailable', checks: { postgres: 'no answer within 30 ms', rabbitmq: 'ok' } },
    ]);
  });

  it('is not troubled by a check that throws, or fails after its time', async () => {
    checks['postgres'] = () => {
      throw new Error('broken check');
    };
    checks['rabbitmq'] = () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 60));
    const [status] = await ready();
    assert.equal(status, 503);
    await new Promise((resolve) => setTimeout(resolve, 60));
  });

  it('gives the metrics as Prometheus reads them', async () => {
    const response = await api.app.inject('/metrics');
    assert.equal(response.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(response.body, '# HELP x y\nx 1\n');
  });
});
