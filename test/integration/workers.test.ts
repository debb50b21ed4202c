import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { chodang, startChodang } from '../support/cli.ts';
import { promlint } from '../support/promlint.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('chodang start --workers', function () {
  this.timeout(120_000);
  let world: World;
  const ending: (() => Promise<unknown>)[] = [];
  beforeEach(async () => {
    world = await aWorld();
    // Progress is asked of a process that has nothing to do with the worker processes.
    await world.start({ parts: ['api'] });
  });
  afterEach(async () => {
    for (const end of ending.splice(0).toReversed()) await end();
    await world.close();
  });

  /** Starts two worker processes; of what they write, each line is JSON. */
  async function started(env: Record<string, string> = {}) {
    const { child, ended } = startChodang(['start', '--workers', '2', '--json'], {
      env: { ...world.env, CHODANG_LOG_LEVEL: 'info', ...env },
    });
    const lines: Record<string, unknown>[] = [];
    let over: Awaited<typeof ended> | undefined;
    void ended.then((end) => {
      over = end;
    });
    if (child.stdout)
      createInterface(child.stdout).on('line', (line) =>
        lines.push(JSON.parse(line) as Record<string, unknown>),
      );
    const said = (msg: string) => lines.filter((line) => line['msg'] === msg);
    const workers = () => [
      ...new Set(
        lines
          .filter(({ msg }) => String(msg).startsWith('Server listening at'))
          .map(({ pid }) => Number(pid)),
      ),
    ];
    ending.push(async () => {
      child.kill('SIGKILL'); // those that it started end with it
      await ended;
    });
    const ready = await until(() => lines.find((line) => 'address' in line && 'workers' in line) ?? over, {
      what: 'all are ready',
      timeoutMs: 60_000,
    });
    assert('workers' in ready, JSON.stringify(ready));
    const address = String(ready['address']);
    return {
      child,
      ended,
      ready,
      address,
      lines,
      said,
      workers,
      isOver: async () => {
        await until(() => over, { what: 'all processes have ended', timeoutMs: 30_000 });
        return (await ended).code;
      },
      metrics: async () => (await fetch(`${address}/metrics`)).text(),
    };
  }
  const counted = (page: string, name: string) =>
    Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\d+)$`, 'm').exec(page)?.[1] ?? 0);
  const toTms = 'chodang_step_orders_total{step="tms",lane="bulk"}';

  it('settles a notice with two processes behind one port, each order told once, and stops gracefully', async () => {
    const { ready, address, workers, metrics, child, isOver, said } = await started();
    assert.deepEqual(ready, { address, parts: 'all', workers: 2 });
    await until(() => workers().length === 2, { what: 'both listen' });
    assert.equal(said(`Server listening at ${address}`).length, 2, 'at the same address');

    const orderIds = await world.orders(5_000);
    const { noticeId } = await world.post(orderIds, { at: address });
    assert.deepEqual(await world.settled(noticeId), { notified: 5_000 });
    await world.toldOnce(noticeId, orderIds);

    const page = await until(
      async () => {
        const text = await metrics();
        return counted(text, toTms) === 5_000 && text;
      },
      { what: 'one page of metrics counts what both have done' },
    );
    assert.deepEqual(promlint(page), []);
    assert.equal(counted(page, 'chodang_worker_processes'), 2);
    assert.equal(counted(page, 'chodang_step_consumers{step="tms",lane="bulk"}'), 4);

    child.kill('SIGTERM');
    assert.equal(await isOver(), 0);
    assert.equal(said('stopped').length, 2, 'both have settled what they held');
  });

  it('replaces a worker process that is killed in the middle; each order is told once all the same', async () => {
    const { address, workers, metrics, child, isOver, said } = await started();
    await world.simulator.faults({ latencyMs: 300 });
    const orderIds = await world.orders(5_000);
    const { noticeId } = await world.post(orderIds, { at: address });
    await until(async () => (await world.simulator.stats()).calls > 1, { what: 'customers are being told' });
    const before = counted(await metrics(), toTms);
    const [victim = 0] = await until(() => workers().length === 2 && workers(), { what: 'both listen' });
    process.kill(victim, 'SIGKILL');
    await world.simulator.faults({});
    assert.deepEqual(await world.settled(noticeId, 60_000), { notified: 5_000 });
    await world.toldOnce(noticeId, orderIds);

    await until(() => workers().length === 3, { what: 'another one listens', timeoutMs: 30_000 });
    const [line] = said('a worker process ended by itself; another one takes its place');
    assert.deepEqual([line?.['level'], line?.['pid'], line?.['signal']], ['error', victim, 'SIGKILL']);
    await until(async () => counted(await metrics(), 'chodang_worker_processes') === 2, {
      what: 'there are two',
    });
    const page = await metrics();
    assert.equal(counted(page, 'chodang_worker_deaths_total'), 1);
    assert(counted(page, toTms) >= before, 'no count goes down');

    // As Ctrl-C in a terminal: it reaches all of them.
    for (const pid of [child.pid ?? 0, ...workers().filter((pid) => pid !== victim)])
      process.kill(pid, 'SIGINT');
    assert.equal(await isOver(), 0);
    assert.equal(said('stopped').length, 2);
  });

  it('ends at once when told twice, and loses nothing', async () => {
    await world.simulator.faults({ latencyMs: 60_000 });
    const { address, child, isOver, said } = await started({ CHODANG_TMS_TIMEOUT_MS: '60000' });
    const orderIds = await world.orders(20);
    const { noticeId } = await world.post(orderIds, { at: address });
    await until(async () => (await world.simulator.stats()).calls > 0, {
      what: 'the gateway is being called',
    });
    child.kill('SIGTERM');
    await until(() => said('stopping: settling what is held').length === 2, {
      what: 'both have begun to stop',
    });
    child.kill('SIGTERM');
    assert.equal(await isOver(), 130);

    await world.simulator.faults({});
    await started();
    assert.deepEqual(await world.settled(noticeId, 60_000), { notified: 20 });
    await world.toldOnce(noticeId, orderIds);
  });

  it('that finds its port taken ends by itself, with 1, and says so once', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await chodang(['start', '--workers', '3'], {
      env: { ...world.env, CHODANG_HTTP_PORT: String(port) },
    });
    other.close();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^chodang: .*EADDRINUSE.*:${port}\n$`));
  });

  it('refuses a number that makes no sense', async () => {
    for (const workers of ['0', 'many', '65']) {
      const { code, stderr } = await chodang(['start', '--workers', workers], { env: world.env });
      assert.equal(code, 1);
      assert.match(stderr, /expected a whole number from 1 to 64/);
    }
  });
});
