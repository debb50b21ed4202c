import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failedCommand } from '../../src/commands/failed/command.ts';
import { listFailures } from '../../src/store/failures.ts';
import { runCommand } from '../support/command.ts';
import { allFailures, statesOf } from '../support/database.ts';
import { publishRaw } from '../support/publish.ts';
import { temporaryFolder } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

const phone = '+821055556666';

describe('chodang failed', function () {
  this.timeout(60_000);
  let world: World;
  let folder: ReturnType<typeof temporaryFolder>;
  before(async () => {
    folder = temporaryFolder();
    world = await aWorld({ stepDefaults: { maxAttempts: 1 } });
    await world.start();
  });
  afterEach(async () => {
    await world.simulator.faults({});
    await world.store.query(`update failures set state = 'discarded' where state = 'open'`);
    await world.store.query('update failure_groups set discarded = discarded + open, open = 0');
  });
  after(async () => {
    await world.close();
    folder.drop();
  });

  const run = (...args: string[]) =>
    runCommand(failedCommand(), args, { ...world.env, CHODANG_OPERATOR: 'kim' });
  const said = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ''], stdout);
    return stdout;
  };

  /** Makes one order of a notice fail at the gateway. */
  async function aFailure(): Promise<{
    noticeId: string;
    orderIds: string[];
    failureId: string;
    groupId: string;
  }> {
    await world.simulator.faults({ recipients: { [phone]: 'retriable' } });
    const orderIds = await world.orders(1, { phone });
    const { noticeId } = await world.post(orderIds, { reason: 'ETC', detail: `call Kim, 010-1234-5678` });
    await world.settled(noticeId);
    const failure = await until(
      async () => (await listFailures(world.store)).find(({ noticeIds }) => noticeIds.includes(noticeId)),
      { what: 'it is recorded' },
    );
    await world.simulator.faults({});
    return { noticeId, orderIds, failureId: failure.failureId, groupId: failure.groupId ?? '' };
  }

  it('retries a group as it was seen, and says how it ended', async () => {
    const { noticeId, orderIds, groupId, failureId } = await aFailure();
    const command =
      /retry: chodang failed (retry --group \d+ --up-to \d+)$/m.exec(await said('groups'))?.[1] ?? '';
    assert.equal(command, `retry --group ${groupId} --up-to ${failureId}`);
    assert.match(
      await said(...command.split(' '), '--dry-run'),
      /^\d+ {2}tms\.express {2}1 order would go on\nNothing was changed\. 1 would be retried: 1 orders would go on,/,
    );
    const out = await said(...command.split(' '), '--why', 'the gateway is well');
    assert.match(
      out,
      /^Operation (\d+) retries 1 failure\(s\): 1 first, then 100 a second; .*\nOperation \1 is done\. 1 resolved\.\n$/,
    );
    await world.toldOnce(noticeId, orderIds);
    assert.match(
      await said('history'),
      /^\d+ {2}\S+ {2}kim {2}retry of group \d+ up to \d+: 1 resolved {2}done {2}\(the gateway is well\)\n/,
    );
    const again = await run(...command.split(' '));
    assert.deepEqual([again.code, again.stdout], [1, '']);
    assert.match(again.stderr, /No failure of group \d+ up to \d+ is open/);
  });

  it('masks personal data, and keeps in the history who looked at it', async () => {
    const { failureId } = await aFailure();
    const masked = await said('show', failureId);
    assert.doesNotMatch(masked, /5678|call Kim/);
    assert.match(masked, /"detail": "… \(23 characters\)"/);
    const refused = await run('show', failureId, '--reveal');
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(
      await said('show', failureId, '--reveal', '--why', 'the seller asks'),
      /call Kim, 010-1234-5678/,
    );
    assert.match(
      await said('history', '--failure', failureId),
      /kim {2}look: 1 failure {2}\(the seller asks\)\n/,
    );
    assert.doesNotMatch(await said('list'), /5678|call Kim/);
  });

  it('points out an order that was canceled since', async () => {
    const { failureId, orderIds } = await aFailure();
    await world.store.query(`update orders set status = 'canceled' where order_id = any($1)`, [orderIds]);
    assert.match(
      await said('retry', failureId, '--dry-run'),
      new RegExp(`1 would be rejected: ORDER_CANCELED \\(${orderIds[0]}\\)`),
    );
  });

  it('discards with a reason, and takes it back', async () => {
    const { failureId, noticeId, orderIds } = await aFailure();
    assert.match((await run('discard', failureId)).stderr, /required option '--reason <text>'/);
    const out = await said('discard', failureId, '--reason', 'a test order');
    const operation = /Operation (\d+) discarded 1 failure/.exec(out)?.[1] ?? '';
    assert.equal(
      (await run('retry', failureId)).stderr,
      `chodang: None of them is open: ${failureId} is discarded (operation ${operation}).\n`,
    );
    assert.match(await said('undo', operation), /1 failure\(s\) are open again/);
    assert.match((await run('undo', operation)).stderr, /Nothing of operation \d+ is discarded still/);
    await said('retry', failureId);
    await world.toldOnce(noticeId, orderIds);
  });

  it('edits a message that can not be read: shows the difference, checks it, keeps the original', async () => {
    const orderIds = await world.orders(2);
    const { noticeId } = await world.post(await world.orders(1));
    await world.settled(noticeId);
    // A chunk of the notice that never was published: as if an older version had written its date in another way.
    await world.store.query(
      `insert into intake (notice_id, chunk_no, path, lane, chunk, done_at) values ($1, 1, 'actors', 'bulk', $2, now())`,
      [noticeId, JSON.stringify({ items: orderIds.map((orderId) => ({ orderId })) })],
    );
    const message = (newShipDate: string, items = orderIds) => ({
      chunks: [
        {
          header: { noticeId, sellerId: 's-1', path: 'actors', reason: 'WEATHER', newShipDate },
          items: items.map((orderId) => ({ orderId })),
        },
      ],
    });
    await publishRaw(world.vhost.url, {
      exchange: 'chodang.steps',
      routingKey: 'validation.bulk',
      type: 'validation.v1',
      content: Buffer.from(JSON.stringify(message('1 Dec'))),
    });
    const { failureId } = await until(async () => (await listFailures(world.store, { state: 'open' }))[0], {
      what: 'it failed',
    });
    assert.match(
      await said('retry', failureId, '--dry-run'),
      /would fail again: header\.newShipDate: expected a day as YYYY-MM-DD/,
    );

    const edited = async (what: unknown, ...more: string[]) => {
      const file = join(folder.dir, 'edited.json');
      writeFileSync(file, typeof what === 'string' ? what : JSON.stringify(what));
      return run('edit', failureId, '--file', file, ...more);
    };
    for (const [what, why] of [
      ['{', /expected JSON/],
      [message('2 Dec'), /header\.newShipDate: expected a day as YYYY-MM-DD, got "2 Dec"/],
      [message(inDays(7), ['stranger']), /Order stranger is not one of notice/],
      [
        {
          chunks: [
            {
              ...message(inDays(7)).chunks[0],
              header: { ...message(inDays(7)).chunks[0]?.header, path: 'legacy' },
            },
          ],
        },
        /path: expected "actors", which is its notice's for life/,
      ],
    ] as const) {
      const { code, stderr } = await edited(what, '--yes');
      assert.equal(code, 1);
      assert.match(stderr, why);
    }
    assert.match((await edited(message(inDays(7)))).stderr, /expected --yes: there is no terminal to ask on/);
    const { code, stdout } = await edited(message(inDays(7)), '--yes');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^-\s+"newShipDate": "1 Dec"\n\+\s+"newShipDate": "\d{4}-\d{2}-\d{2}"$/m);
    const states = await statesOf(world.store, { noticeId });
    assert.deepEqual(
      orderIds.map((id) => states[id]),
      ['notified', 'notified'],
    );
    const failure = (await allFailures(world.store)).find((each) => each.failureId === failureId);
    assert.equal(failure?.state, 'resolved');
    assert.match(failure?.body.toString() ?? '', /1 Dec/);
  });

  it('refuses what can not be meant, and changes nothing', async () => {
    for (const [args, why] of [
      [['list', '--limit', '0'], /expected a whole number from 1 to 999999/],
      [['list', '--group', 'x'], /expected a number/],
      [['list', '--state', 'lost'], /expected one of open, retrying/],
      [['retry'], /expected the numbers of failures, or --group and --up-to/],
      [['retry', '--group', '1'], /expected --up-to with --group/],
      [['retry', '1', '--rate', 'fast'], /expected a rate such as 100\/s/],
      [['retry', '1', '--path', 'actors'], /Allowed choices are legacy/],
      [['retry', '999999'], /There is no failure 999999/],
      [['retry', '--group', '999999', '--up-to', '1'], /There is no group 999999/],
      [['discard', '1', '--reason', ' '], /expected a reason that says something/],
      [['undo', '999999'], /Operation 999999 is not known/],
      [['cancel', '999999'], /There is no retry 999999/],
      [['show', '999999'], /There is no failure 999999/],
    ] as const) {
      const { code, stdout, stderr } = await run(...args);
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
      assert.match(stderr, why);
    }
  });
});
