import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { cloneRoot, stackDir } from '../../src/stack/place.ts';
import { isFree } from '../../src/stack/ports.ts';
import { identify, isAlive, launchedIn } from '../../src/stack/process.ts';
import { type StackServers, stackDown, stackServers, stackStatus, stackUp } from '../../src/stack/stack.ts';
import { temporaryFolder } from '../support/servers.ts';

/** A clone of its own as far as the stack can tell, and nothing configured in its environment. */
function clone() {
  const { dir: root, drop } = temporaryFolder();
  const id = { root, name: 'of-a-test', env: {} };
  const folder = stackDir(id);
  return { id, folder, drop: () => [rmSync(dirname(folder), { recursive: true }), drop()] };
}

type Clone = ReturnType<typeof clone>;

async function sql(url: string | null, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url ?? '' });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

describe('the stack of a clone', function () {
  this.timeout(240_000);
  let one: Clone;
  let other: Clone;
  let third: Clone;
  let servers: StackServers;
  const pids = () => Object.values(servers).map(({ pid }) => pid);

  before('two clones start at the same moment', async () => {
    [one, other, third] = [clone(), clone(), clone()];
    servers = stackServers(one.id);
    await Promise.all([stackUp(one.id), stackUp(other.id)]);
  });

  after(async () => {
    for (const { id, drop } of [one, other, third]) {
      await stackDown(id);
      drop();
    }
  });

  it('shares neither ports nor data with another clone', async () => {
    const portsOf = (of: Clone) =>
      Object.values(stackServers(of.id)).flatMap(({ place }) => Object.values(place.ports));
    const ports = [...portsOf(one), ...portsOf(other)];
    assert.equal(ports.length, 14);
    assert.equal(new Set(ports).size, 14);
    const [here, there] = [await stackStatus(one.id), await stackStatus(other.id)];
    await sql(here.postgres.url, 'create table harvest as select 1 as ears');
    await assert.rejects(sql(there.postgres.url, 'select * from harvest'), /does not exist/);
  });

  it('listens on the loopback interface alone', async () => {
    const { stdout } = await promisify(execFile)('ss', ['-Hltn']);
    const listeners = stdout.split('\n').map((line) => line.trim().split(/\s+/)[3] ?? '');
    for (const { place } of Object.values(servers)) {
      for (const port of Object.values<number>(place.ports)) {
        const addresses = listeners.filter((address) => address.endsWith(`:${port}`));
        assert.notDeepEqual(addresses, []);
        for (const address of addresses)
          assert.match(address, /^(127\.0\.0\.1|\[::1\]|\[::ffff:127\.0\.0\.1\]):/);
      }
    }
  });

  it('is left as it is by a second "up", at once, even by two at the same time', async () => {
    const before = { pids: pids(), status: await stackStatus(one.id) };
    const started = performance.now();
    const again = await Promise.all([stackUp(one.id), stackUp(one.id)]);
    assert.ok(performance.now() - started < 5_000);
    assert.deepEqual(again, [before.status, before.status]);
    assert.deepEqual(pids(), before.pids);
  });

  it('starts a server that was killed or frozen, with its data and address, and no other', async () => {
    const before = { zookeeper: servers.zookeeper.pid, rabbitmq: servers.rabbitmq.pid };
    const { postgres } = await stackStatus(one.id);
    await servers.postgres.kill();
    servers.tms.pause();
    assert.equal((await stackStatus(one.id)).postgres.url, null);
    assert.equal((await stackStatus(one.id)).tms.url, null);
    const status = await stackUp(one.id);
    assert.deepEqual(status.postgres, postgres);
    assert.deepEqual(await sql(status.postgres.url, 'select * from harvest'), [{ ears: 1 }]);
    assert.notEqual(status.tms.url, null);
    assert.deepEqual({ zookeeper: servers.zookeeper.pid, rabbitmq: servers.rabbitmq.pid }, before);
  });

  it('leaves a configured server alone and reports its address', async () => {
    const env = {
      CHODANG_POSTGRES_URL: 'postgres://elsewhere/shop',
      CHODANG_RABBITMQ_URL: 'amqp://elsewhere',
      CHODANG_ZOOKEEPER: 'elsewhere:2181',
      CHODANG_ZOOKEEPER_ROOT: '/ours',
      CHODANG_TMS_URL: 'http://elsewhere',
    };
    assert.deepEqual(await stackUp({ ...third.id, env }), {
      postgres: { url: 'postgres://elsewhere/shop' },
      rabbitmq: { url: 'amqp://elsewhere', managementUrl: null },
      zookeeper: { connect: 'elsewhere:2181', root: '/ours' },
      tms: { url: 'http://elsewhere' },
    });
    assert.deepEqual(
      Object.values(stackServers(third.id)).flatMap((server) => server.pids),
      [],
    );
  });

  it('moves a server to another port if something took its own while it was down', async () => {
    const port = servers.zookeeper.port();
    await servers.zookeeper.stop();
    const squatter = createServer().listen(port, '127.0.0.1');
    const { zookeeper } = await stackUp(one.id);
    assert.notEqual(zookeeper.connect, null);
    assert.notEqual(servers.zookeeper.port(), port);
    squatter.close();
  });

  it('is down after "down": no process is left, and nobody listens', async () => {
    const everything = Object.values(servers).flatMap((server) => server.pids.map(identify));
    const ports = Object.values(servers).flatMap(({ place }) => Object.values<number>(place.ports));
    assert.ok(everything.length >= 5, 'four servers and an epmd');
    await stackDown(one.id);
    for (const { dir } of Object.values(servers)) assert.deepEqual(launchedIn(dir), []);
    for (const id of everything) assert.ok(id && !isAlive(id), `process ${id?.pid}`);
    for (const port of ports) assert.ok(await isFree(port), `port ${port}`);
    assert.deepEqual(await stackStatus(one.id), {
      postgres: { url: null },
      rabbitmq: { url: null, managementUrl: null },
      zookeeper: { connect: null, root: '/chodang' },
      tms: { url: null },
    });
    const { tms } = await stackStatus(other.id);
    assert.notEqual(tms.url, null, 'the other clone goes on');
  });

  it('keeps its data through a "down", and is empty after one that wipes it', async () => {
    const tables = async () =>
      sql(
        (await stackUp(one.id)).postgres.url,
        "select tablename from pg_tables where schemaname = 'public' order by 1",
      );
    assert.deepEqual(await tables(), [{ tablename: 'harvest' }]);
    await stackDown({ ...one.id, wipe: true });
    assert.deepEqual(await tables(), []);
  });
});

describe('chodang stack', function () {
  this.timeout(30_000);
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, ['--import', 'tsx', 'src/main.ts', 'stack', ...args], {
      cwd: cloneRoot,
      env: { PATH: process.env['PATH'] },
    });

  it('says with its exit code that not all is up', async () => {
    await assert.rejects(
      run('status', '--json', '--name', 'never-started'),
      (error: Error & { code: number; stdout: string }) => {
        assert.equal(error.code, 1);
        assert.deepEqual(JSON.parse(error.stdout), {
          postgres: { url: null },
          rabbitmq: { url: null, managementUrl: null },
          zookeeper: { connect: null, root: '/chodang' },
          tms: { url: null },
        });
        return true;
      },
    );
    rmSync(stackDir({ name: 'never-started' }), { recursive: true });
  });

  it('says in one line what is wrong, without a stack trace', async () => {
    await assert.rejects(
      run('up', '--name', 'No Good'),
      (error: Error & { code: number; stderr: string }) => {
        assert.equal(error.code, 1);
        assert.match(error.stderr, /^chodang: A stack's name has .*"No Good"\n$/);
        return true;
      },
    );
  });
});
