import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { connect } from 'amqplib';
import { type CliOptions, startChodang } from '../support/cli.ts';
import { type Proxy, proxyTo } from '../support/proxy.ts';
import { stack } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, type World } from '../support/world.ts';

describe('a start of chodang', function () {
  this.timeout(60_000);
  const ending: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ending.splice(0).toReversed()) await end();
  });

  const aFreshWorld = async (settings: Parameters<typeof aWorld>[1] = {}): Promise<World> => {
    const world = await aWorld({}, settings);
    ending.push(() => world.close());
    return world;
  };
  const aWireTo = async (url: string | null): Promise<Proxy> => {
    const wire = await proxyTo(Number(new URL(url ?? '').port));
    ending.push(() => wire.close());
    return wire;
  };
  /** Runs `chodang start`; it may take a minute to stop, so that it ends sooner by itself or not at all. */
  const starting = (env: CliOptions['env']) => {
    const { child, ended } = startChodang(['start'], {
      env: { CHODANG_PIPELINE_SHUTDOWN_MS: '60000', ...env },
    });
    let output = '';
    child.stdout?.on('data', (text) => {
      output += text;
    });
    child.stderr?.on('data', (text) => {
      output += text;
    });
    let over = false;
    void ended.then(() => {
      over = true;
    });
    ending.push(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    return {
      child,
      ended,
      says: (text: string) =>
        until(() => output.includes(text), { what: `it says: ${text}`, timeoutMs: 30_000 }),
      isOver: () => until(() => over, { what: 'the process has ended', timeoutMs: 5_000 }),
    };
  };

  it('that fails half-way closes all connections it had opened', async () => {
    const { postgres, rabbitmq } = stack();
    const toPostgres = await aWireTo(postgres.url);
    const toRabbit = await aWireTo(rabbitmq.url);
    const world = await aFreshWorld({
      env: (usual) => ({
        CHODANG_POSTGRES_URL: toPostgres.over(usual.CHODANG_POSTGRES_URL),
        CHODANG_RABBITMQ_URL: toRabbit.over(usual.CHODANG_RABBITMQ_URL),
      }),
    });
    const actorsDirectory = new URL('./no-actors-here/', import.meta.url);
    await assert.rejects(world.start({ actorsDirectory }), /its actor .* does not load/);
    await until(() => toPostgres.connections() === 0, { what: 'no connection to Postgres is left' });
    await until(() => toRabbit.connections() === 0, { what: 'no connection to RabbitMQ is left' });
  });

  it('that fails half-way ends by itself, with 1 and what to do', async () => {
    const world = await aFreshWorld();
    const connection = await connect(world.vhost.url);
    const channel = await connection.createChannel();
    await channel.assertQueue('tms.failed', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await connection.close();
    const start = starting(world.env);
    await start.says('tms.failed');
    await start.isOver();
    const { code, stdout } = await start.ended;
    assert.equal(code, 1);
    assert.match(stdout, /delete it, and start again/);
  });

  it('that finds its port taken ends by itself, with 1 and which port', async () => {
    const world = await aFreshWorld();
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    ending.push(async () => other.close());
    const { port } = other.address() as AddressInfo;
    const start = starting({ ...world.env, CHODANG_HTTP_PORT: String(port) });
    await start.says('chodang: ');
    await start.isOver();
    const { code, stderr } = await start.ended;
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^chodang: listen EADDRINUSE: .*:${port}\n$`));
  });

  it('that waits for Postgres ends at once when told to', async () => {
    const world = await aFreshWorld();
    const nobody = await proxyTo(1);
    await nobody.close();
    const start = starting({
      ...world.env,
      CHODANG_POSTGRES_URL: nobody.over(world.env.CHODANG_POSTGRES_URL),
      CHODANG_LOG_LEVEL: 'info',
    });
    await start.says('Postgres is away; trying again every second');
    start.child.kill('SIGTERM');
    await start.isOver();
    const { code, stdout } = await start.ended;
    assert.equal(code, 0);
    assert.match(stdout, /stopped before it was ready/);
  });
});
