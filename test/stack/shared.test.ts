import assert from 'node:assert/strict';
import { connect } from 'amqplib';
import { Client } from 'pg';
import { freshDatabase, freshVhost, freshZookeeperRoot } from '../support/servers.ts';

describe('the servers that tests share', () => {
  it('give each test an empty database of its own', async () => {
    const database = await freshDatabase();
    const client = new Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query(
      `select count(*)::int as tables from pg_tables where schemaname = 'public'`,
    );
    assert.deepEqual(rows, [{ tables: 0 }]);
    await client.end();
    await database.drop();
    await assert.rejects(new Client({ connectionString: database.url }).connect(), /does not exist/);
  });

  it('give each test a virtual host of its own', async () => {
    const vhost = await freshVhost();
    const connection = await connect(vhost.url);
    const channel = await connection.createChannel();
    await channel.assertQueue('mine', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await connection.close();
    await vhost.drop();
    await assert.rejects(connect(vhost.url));
  });

  it('give each test a root of ZooKeeper of its own', async () => {
    const one = await freshZookeeperRoot();
    const other = await freshZookeeperRoot();
    assert.match(one.connect, /^127\.0\.0\.1:\d+$/);
    assert.notEqual(one.root, other.root);
  });
});
