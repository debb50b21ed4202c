import assert from 'node:assert/strict';
import { promlint } from '../support/promlint.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { stack } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('the health of a process', function () {
  this.timeout(60_000);
  let world: World;
  let wire: Proxy;
  before(async () => {
    const port = Number(new URL(stack().rabbitmq.url ?? '').port);
    wire = await proxyTo(port);
    world = await aWorld(
      {},
      { env: ({ CHODANG_RABBITMQ_URL: url }) => ({ CHODANG_RABBITMQ_URL: wire.over(url) }) },
    );
    await world.start();
  });
  after(async () => {
    wire.mend();
    await world.close();
    await wire.close();
  });
  const get = async (path: string): Promise<{ status: number; body: unknown }> => {
    const response = await world.ask('GET', path);
    return { status: response.status, body: await response.json() };
  };

  it('is live, and ready while all servers are there', async () => {
    assert.deepEqual(await get('/health/live'), { status: 200, body: { status: 'ok' } });
    assert.deepEqual(await get('/health/ready'), {
      status: 200,
      body: { status: 'ok', checks: { postgres: 'ok', rabbitmq: 'ok' } },
    });
  });

  it('is not ready while RabbitMQ is away, says so, stays live, and gets ready again', async () => {
    wire.cut();
    await until(async () => (await get('/health/ready')).status === 503, { what: 'it has noticed' });
    assert.deepEqual((await get('/health/ready')).body, {
      status: 'unavailable',
      checks: { postgres: 'ok', rabbitmq: 'RabbitMQ is away' },
    });
    assert.equal((await get('/health/live')).status, 200);
    wire.mend();
    await until(async () => (await get('/health/ready')).status === 200, {
      what: 'it is ready again',
      timeoutMs: 20_000,
    });
  });

  it('shows in /metrics what a notice did, in names that promtool accepts', async () => {
    const orderIds = await world.orders(1_100);
    const { noticeId } = await world.post([...orderIds, 'unknown']);
    await world.settled(noticeId);
    const page = await until(
      async () => {
        const text = await (await world.ask('GET', '/metrics')).text();
        return text.includes('chodang_step_orders_total{step="tms",lane="bulk"} 1100\n') && text;
      },
      { what: 'the last batch is counted' },
    );
    assert.deepEqual(promlint(page), []);
    assert.match(page, /^chodang_step_orders_total\{step="validation",lane="bulk"\} 1101$/m);
    assert.match(page, /^chodang_step_orders_total\{step="delay",lane="bulk"\} 1100$/m);
    assert.match(page, /^chodang_step_consumers\{step="tms",lane="express"\} 1$/m);
    assert.doesNotMatch(page, /^chodang_step_failed_messages_total\{/m);
    assert.match(page, /^process_resident_memory_bytes \d+$/m);
  });
});
