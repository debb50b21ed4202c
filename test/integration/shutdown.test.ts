import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('chodang start, told to stop while RabbitMQ takes nothing', function () {
  this.timeout(120_000);
  let world: World;
  let wire: Proxy;
  const ending: (() => Promise<unknown>)[] = [];
  before(async () => {
    world = await aWorld();
    wire = await proxyTo(Number(new URL(world.vhost.url).port));
  });
  after(async () => {
    await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.4');
    for (const end of ending) await end();
    await wire.close();
    await world.close();
  });

  /** Runs the command itself, until it says that it is ready. */
  async function started(env: Record<string, string> = {}) {
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'start', '--json'], {
      env: {
        ...process.env,
        ...world.env,
        CHODANG_PIPELINE_SHUTDOWN_MS: '1500',
        CHODANG_LOG_LEVEL: 'info',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: Record<string, unknown>[] = [];
    createInterface(child.stdout).on('line', (line) =>
      lines.push(JSON.parse(line) as Record<string, unknown>),
    );
    const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
    ending.push(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    const address = await until(() => lines.find((line) => 'address' in line)?.['address'] as string, {
      what: 'it is ready',
      timeoutMs: 30_000,
    });
    const blocked = () =>
      until(
        async () => {
          const ready = await fetch(`${address}/health/ready`);
          return (await ready.text()).includes('blocks publishers');
        },
        { what: 'it holds something that RabbitMQ does not take', timeoutMs: 20_000 },
      );
    const settled = (noticeId: string) =>
      until(
        async () => {
          const answer = await world.ask('GET', `/v1/delay-notices/${noticeId}`, undefined, { at: address });
          return ((await answer.json()) as { state: string }).state === 'settled';
        },
        { what: 'the notice has settled', timeoutMs: 30_000 },
      );
    return {
      child,
      lines,
      exited,
      address,
      blocked,
      settled,
      said: (msg: string) => lines.find((line) => line['msg'] === msg),
    };
  }

  it('ends within shutdownMs and says so, or at once when told twice; nothing is lost', async () => {
    // Orders go around between tms and its .retriable queue: there is always something to publish.
    await world.simulator.faults({ status: 500 });
    const first = await started();
    const orderIds = await world.orders(20);
    const { noticeId } = await world.post(orderIds, { at: first.address });
    await until(async () => (await world.simulator.stats()).calls > 0, { what: 'the gateway was called' });
    await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.00001');
    await first.blocked();
    const told = performance.now();
    first.child.kill('SIGTERM');
    assert.deepEqual(await first.exited, [1, null]);
    const took = performance.now() - told;
    assert(took >= 1_400 && took < 5_000, `expected an end after 1,500 ms, it took ${took} ms`);
    assert(first.said('stopping: settling what is held'));
    const late = first.said('not everything was settled in time; RabbitMQ delivers the rest again');
    assert.equal(late?.['shutdownMs'], 1_500);

    const second = await started({ CHODANG_PIPELINE_SHUTDOWN_MS: '20000' });
    await second.blocked();
    second.child.kill('SIGINT');
    await until(() => second.said('stopping: settling what is held'), { what: 'it has begun to stop' });
    second.child.kill('SIGINT');
    assert.deepEqual(await second.exited, [130, null]);
    assert(!second.said('not everything was settled in time; RabbitMQ delivers the rest again'));

    await world.simulator.faults({});
    await rabbitmq().rabbitmqctl('set_vm_memory_high_watermark', '0.4');
    const third = await started();
    await third.settled(noticeId);
    await world.toldOnce(noticeId, orderIds);
    third.child.kill('SIGTERM');
    assert.deepEqual(await third.exited, [0, null]);
    assert(third.said('stopped'));
  });

  it('ends long before shutdownMs where RabbitMQ is away; nothing is lost', async () => {
    await world.simulator.faults({ latencyMs: 200 });
    const first = await started({
      CHODANG_RABBITMQ_URL: wire.over(world.env.CHODANG_RABBITMQ_URL),
      CHODANG_RABBITMQ_PUBLISH_WAIT_MS: '500',
      CHODANG_PIPELINE_SHUTDOWN_MS: '10000',
    });
    const orderIds = await world.orders(3_000);
    const { calls } = await world.simulator.stats();
    const { noticeId } = await world.post(orderIds, { at: first.address });
    await until(async () => (await world.simulator.stats()).calls > calls, { what: 'the gateway is called' });
    wire.cut();
    await until(() => first.said('RabbitMQ is away; trying again'), { what: 'it has noticed' });
    const told = performance.now();
    first.child.kill('SIGTERM');
    assert.deepEqual(await first.exited, [0, null]);
    const took = performance.now() - told;
    assert(took < 5_000, `expected an end soon, it took ${took} ms`);
    assert(first.said('stopped'));

    await world.simulator.faults({});
    const second = await started();
    await second.settled(noticeId);
    await world.toldOnce(noticeId, orderIds);
    second.child.kill('SIGTERM');
    assert.deepEqual(await second.exited, [0, null]);
  });
});
