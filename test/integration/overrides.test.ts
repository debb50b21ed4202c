import assert from 'node:assert/strict';
import { pipelineCommand } from '../../src/commands/pipeline/command.ts';
import { found, says, settingsOf } from '../doctor/patient.ts';
import { runCommand } from '../support/command.ts';
import { keptLog } from '../support/log-lines.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';
import { zkCli } from '../switches/opened.ts';

interface ShownLane {
  name: string;
  ready: number | null;
  unacked: number | null;
  consumers: number | null;
  min: number;
  max: number;
  from: 'config' | { by: string | null; note: string | null; at: string };
  paused: { name: string; by: string | null; note: string | null } | null;
  error: string | null;
}

describe('chodang pipeline, while a process runs', function () {
  this.timeout(90_000);
  let world: World;
  let log: ReturnType<typeof keptLog>;
  beforeEach(async () => {
    world = await aWorld();
    log = keptLog();
    await world.start({ log: log.log });
  });
  afterEach(() => world.close());

  const run = (...args: string[]) =>
    runCommand(pipelineCommand(), args, {
      ...world.env,
      CHODANG_RABBITMQ_MANAGEMENT_URL: world.vhost.managementUrl,
      CHODANG_OPERATOR: 'haneul@ops-2',
    });
  const shown = async (name: string): Promise<ShownLane> => {
    const { lanes } = (await run('show', '--json')).json() as { lanes: ShownLane[] };
    const lane = lanes.find((each) => each.name === name);
    assert(lane, `no ${name} in ${JSON.stringify(lanes)}`);
    return lane;
  };
  const metrics = async () => (await world.ask('GET', '/metrics')).text();
  const seen = (line: string) =>
    until(async () => (await metrics()).split('\n').includes(line), { what: `/metrics says ${line}` });
  const path = (name: string) => `${world.zookeeper.root}/pipeline/${name}`;

  it('shows every lane, as configured', async () => {
    const { stdout, stderr, code } = await run('show');
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(
      stdout,
      /^tms\.bulk: 0 ready(, \d unacked)?, 2 consumers; 2 in each process, as configured$/m,
    );
    assert.equal(stdout.trim().split('\n').length, 6);
    const { name, ready, consumers, min, max, from, paused, error } = await shown('delay.express');
    assert.deepEqual(
      { name, ready, consumers, min, max, from, paused, error },
      {
        name: 'delay.express',
        ready: 0,
        consumers: 1,
        min: 1,
        max: 2,
        from: 'config',
        paused: null,
        error: null,
      },
    );
  });

  it('sets how many consumers a lane has, at once, and takes it back', async () => {
    const set = await run('set', 'tms.bulk', '--min', '6', '--max', '8', '--note', 'rush');
    assert.equal(set.stdout, 'tms.bulk: 6 to 8 consumers in each process\n');
    await until(async () => (await shown('tms.bulk')).consumers === 6, {
      what: 'six actors consume the lane',
    });
    const { min, max, from } = await shown('tms.bulk');
    assert(from !== 'config');
    assert.deepEqual([min, max, from.by, from.note], [6, 8, 'haneul@ops-2', 'rush']);
    await seen('chodang_step_consumers{step="tms",lane="bulk"} 6');
    await seen('chodang_step_consumer_changes_total{step="tms",lane="bulk",direction="up",why="limits"} 1');
    const [line] = log.said('the number of consumers changed') as unknown as Record<string, unknown>[];
    assert.deepEqual(
      [line?.['level'], line?.['step'], line?.['lane'], line?.['from'], line?.['to'], line?.['why']],
      ['info', 'tms', 'bulk', 2, 6, 'limits'],
    );
    assert.match((await run('set', 'tms.bulk', '--min', '6')).stdout, /^tms\.bulk: 6 to 8 consumers/);
    assert.equal(
      (await run('unset', 'tms.bulk')).stdout,
      'tms.bulk: as configured, 2 consumers in each process\n',
    );
    await until(async () => (await shown('tms.bulk')).consumers === 2, {
      what: 'no more than two are left',
    });
    assert.match((await run('unset', 'tms.bulk')).stdout, /already, nothing was written/);

    const history = await run('history', 'tms.bulk');
    assert.match(history.stdout, /^20.*Z {2}haneul@ops-2 {2}tms\.bulk: \{.*\} → as configured$/m);
    assert.match(
      history.stdout,
      /^20.*Z {2}haneul@ops-2 {2}tms\.bulk: as configured → \{"min":6,"max":8.*\} {2}"rush"$/m,
    );
  });

  it('pauses a step: messages wait in its queues, nobody is told, and nobody calls it a failure', async () => {
    await run('pause', 'tms', '--note', 'the gateway is being moved');
    await seen('chodang_step_paused{step="tms",lane="bulk"} 1');
    const orderIds = await world.orders(1_200);
    const { noticeId } = await world.post(orderIds);
    await until(async () => (await world.progress(noticeId)).counts.delayed === 1_200, {
      what: 'all have passed the steps before',
    });
    await until(async () => ((await shown('tms.bulk')).ready ?? 0) > 0, { what: 'messages wait' });
    const { consumers, paused } = await shown('tms.bulk');
    assert.deepEqual(
      [consumers, paused?.name, paused?.by, paused?.note],
      [0, 'tms', 'haneul@ops-2', 'the gateway is being moved'],
    );
    assert.match(
      (await run('show')).stdout,
      /^ {2}PAUSED by haneul@ops-2 at 20.* \("the gateway.*"\), with all of tms$/m,
    );
    says(
      await found(settingsOf(world), 'rabbitmq'),
      'queue tms.bulk',
      'warn',
      /waiting, 0 consumers: paused by haneul@ops-2 at 20.*\("the gateway is being moved"\)/,
      /"chodang pipeline resume tms"/,
    );
    assert.equal((await world.deliveries(noticeId)).size, 0);

    const lane = await run('resume', 'tms.bulk');
    assert.equal(lane.code, 1);
    assert.match(
      lane.stderr,
      /all of tms was paused by haneul@ops-2 .*: "chodang pipeline resume tms" lifts that/,
    );
    await run('pause', 'tms.bulk', '--note', 'twice');
    const resumed = await run('resume', 'tms', '--json');
    assert.deepEqual(
      (resumed.json() as { overrides: { name: string }[] }).overrides.map(({ name }) => name),
      ['tms', 'tms.bulk'],
    );
    assert.deepEqual(await world.settled(noticeId), { notified: 1_200 });
    await world.toldOnce(noticeId, orderIds);
    await seen('chodang_step_paused{step="tms",lane="bulk"} 0');
    assert.match((await run('resume', 'tms')).stdout, /tms is not paused, nothing was written/);
  });

  it('keeps what was set when a pause is lifted', async () => {
    await run('set', 'delay.bulk', '--max', '8');
    await run('pause', 'delay.bulk', '--note', 'a look at it');
    const { min, max, paused } = await shown('delay.bulk');
    assert.deepEqual([min, max, paused?.note], [2, 8, 'a look at it']);
    await run('resume', 'delay.bulk');
    const after = await shown('delay.bulk');
    assert.deepEqual([after.min, after.max, after.paused], [2, 8, null]);
  });

  it('follows plain zkCli, and keeps the last good value when a malformed one comes', async () => {
    await until(() => log.said('overrides are up to date').length === 1, { what: 'ZooKeeper is followed' });
    await zkCli(world.zookeeper, 'create', path('tms.bulk'), '{"min":3,"max":3}');
    await seen('chodang_step_consumers{step="tms",lane="bulk"} 3');
    assert.deepEqual(((await shown('tms.bulk')).from as { by: null }).by, null);
    await zkCli(world.zookeeper, 'set', path('tms.bulk'), '{"max":1}');
    await seen('chodang_override_malformed_total{name="tms.bulk"} 1');
    assert.match(await metrics(), /^chodang_step_consumers\{step="tms",lane="bulk"\} 3$/m);
    assert.match((await shown('tms.bulk')).error ?? '', /min 2 \(as configured\) is more than max 1/);
    assert.match((await run('show')).stdout, /CAN'T BE USED: tms\.bulk: min 2 .*keep the last good value/);
    assert.match(
      log.lines.map(({ msg }) => msg).join('\n'),
      /override "tms\.bulk" has a value that can't be used/,
    );

    const set = await run('set', 'tms.bulk', '--max', '5');
    assert.match(set.stderr, /warning: what was written before could not be used, and is replaced/);
    assert.match(set.stdout, /2 to 5 consumers/);
    await zkCli(world.zookeeper, 'delete', path('tms.bulk'));
    await until(async () => (await shown('tms.bulk')).from === 'config', {
      what: 'the configuration holds again',
    });
    await zkCli(world.zookeeper, 'create', path('tsm.bulk'), '{}');
    await until(() => log.said('no override of this process is called tsm.bulk: no effect').length === 1, {
      what: 'the misspelt znode was named',
    });
  });

  it('refuses nonsense before it writes anything', async () => {
    for (const [args, expected] of [
      [['set', 'tsm.bulk', '--max', '8'], /there is no step "tsm"; expected one of validation, delay, tms/],
      [['set', 'tms.bluk', '--max', '8'], /step tms has no lane "bluk"; expected tms\.express or tms\.bulk/],
      [['set', 'tms', '--max', '8'], /expected a lane of step tms: tms\.express or tms\.bulk/],
      [['set', 'constructor', '--max', '8'], /there is no step/],
      [['set', 'tms.bulk'], /expected --min, --max or both/],
      [['set', 'tms.bulk', '--min', '9', '--max', '8'], /min 9 is more than max 8/],
      [['set', 'tms.bulk', '--max', '1'], /min 2 \(as configured\) is more than max 1/],
      [['set', 'tms.bulk', '--max', '65'], /from 1 to 64/],
      [['set', 'tms.bulk', '--min', '0'], /from 1 to 64/],
      [['set', 'tms.bulk', '--max', '8', '--if-version', '3'], /expected version 3, it has no value/],
      [['pause', 'tms.bulk'], /required option '--note/],
      [['pause', 'tms.x.y', '--note', 'n'], /step tms has no lane "x\.y"/],
      [['history', 'tsm'], /there is no step "tsm"/],
    ] as const) {
      const { code, stderr, stdout } = await run(...args);
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
      assert.match(stderr, expected);
    }
    assert.match(await zkCli(world.zookeeper, 'ls', `${world.zookeeper.root}/pipeline`), /^\[\]$/m);
  });

  it('shows the rest where a server is away, and says so in its exit code', async () => {
    const shown = await runCommand(pipelineCommand(), ['show'], {
      ...world.env,
      CHODANG_ZOOKEEPER: '127.0.0.1:1',
    });
    assert.equal(shown.code, 1);
    assert.match(shown.stderr, /warning: the overrides are not known: ZooKeeper can't be reached/);
    assert.match(shown.stdout, /^tms\.bulk: 0 ready, 2 consumers; 2 in each process, as configured$/m);
    const set = await runCommand(pipelineCommand(), ['set', 'tms.bulk', '--max', '8'], {
      ...world.env,
      CHODANG_ZOOKEEPER: '127.0.0.1:1',
    });
    assert.equal(set.code, 1);
    assert.match(set.stderr, /ZooKeeper can't be reached .*nothing was written/);
  });
});
