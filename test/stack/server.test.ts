import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isFree } from '../../src/stack/ports.ts';
import { startPostgres } from '../../src/stack/postgres.ts';
import { identify } from '../../src/stack/process.ts';
import { Server } from '../../src/stack/server.ts';
import { startZookeeper, zookeeperKind } from '../../src/stack/zookeeper.ts';
import { temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';

describe('a server of this machine', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof temporaryFolder>;
  let server: Server | Server<'client'> | Server<'postgres'> | undefined;

  beforeEach(() => {
    folder = temporaryFolder();
  });

  afterEach(async () => {
    await server?.stop();
    server = undefined;
    folder.drop();
  });

  it('never ends a process that was given the pid of its own', async () => {
    const stranger = spawn('sleep', ['60']);
    const pid = stranger.pid!;
    const main = { ...identify(pid)!, startedAt: 'in an earlier life' };
    writeFileSync(join(folder.dir, 'server.json'), JSON.stringify({ ports: { client: 20_000 }, main }));
    const zookeeper = new Server(zookeeperKind, folder.dir);
    assert.equal(zookeeper.pid, undefined);
    await zookeeper.kill();
    await zookeeper.stop();
    assert.equal(identify(pid)?.pid, pid);
    stranger.kill();
  });

  it('finds its processes again when its notes are lost', async () => {
    const zookeeper = await startZookeeper({ dir: folder.dir });
    server = zookeeper;
    const { pid } = zookeeper;
    const notes = JSON.parse(readFileSync(join(folder.dir, 'server.json'), 'utf8')) as object;
    writeFileSync(join(folder.dir, 'server.json'), JSON.stringify({ ...notes, main: null }));
    assert.equal(zookeeper.pid, undefined);
    assert.deepEqual(zookeeper.pids, [pid]);
    await zookeeper.start();
    assert.notEqual(zookeeper.pid, pid);
    assert.equal(zookeeper.pids.length, 1);
  });

  it('has given its ports back once it is killed: a restart takes them again', async () => {
    const zookeeper = await startZookeeper({ dir: folder.dir });
    server = zookeeper;
    for (let time = 0; time < 8; time += 1) {
      await zookeeper.kill();
      assert.ok(await isFree(zookeeper.port()), 'its port is still taken');
      await zookeeper.start();
    }
  });

  it('comes up where an earlier start was cut off while it made the data', async () => {
    mkdirSync(join(folder.dir, 'data.new'));
    writeFileSync(join(folder.dir, 'data.new', 'PG_VERSION'), '15\n');
    server = await startPostgres({ dir: folder.dir });
    assert.ok(await server.isUp());
  });

  it('takes the port it is told to', async () => {
    server = await startZookeeper({ dir: folder.dir, port: 31_999 });
    assert.equal(server.url, '127.0.0.1:31999');
  });

  it('says where its log lies, and the last lines of it, if it does not come up', async () => {
    mkdirSync(join(folder.dir, 'data'));
    writeFileSync(join(folder.dir, 'data', 'version-2'), 'not a folder');
    await assert.rejects(startZookeeper({ dir: folder.dir }), (error: Error) => {
      assert.match(error.message, /^ZooKeeper ended right after its start/);
      assert.match(error.message, new RegExp(join(folder.dir, 'server.log')));
      assert.match(error.message, /version-2/);
      return true;
    });
  });

  it('freezes and goes on', async () => {
    server = await startZookeeper({ dir: folder.dir });
    server.pause();
    assert.equal(await server.isUp(), false);
    server.resume();
    await until(() => server?.isUp(), { what: 'ZooKeeper answers again' });
  });
});
