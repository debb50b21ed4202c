import assert from 'node:assert/strict';
import { type Failure, recordFailures } from '../../src/store/failures.ts';
import { chodang } from '../support/cli.ts';
import { migratedDatabase } from '../support/database.ts';
import { aNoticeId } from '../support/makers.ts';

describe('chodang failed', function () {
  this.timeout(60_000); // each command is a process of its own
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  before(async () => {
    database = await migratedDatabase();
  });
  after(() => database.drop());

  const run = (...args: string[]) =>
    chodang(['failed', ...args], { env: { CHODANG_POSTGRES_URL: database.url } });
  const said = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };
  const aFailure = (messageId: string, errorMessage: string): Failure => ({
    step: 'delay',
    lane: 'bulk',
    messageId,
    errorClass: 'TypeError',
    errorMessage,
    errorStack: undefined,
    attempt: 3,
    failedAt: new Date('2026-11-22T03:00:00Z'),
    headers: {},
    content: Buffer.from('{ "corn": true }'),
    orders: [{ noticeId: aNoticeId(), sellerId: 's-1', orderId: messageId, newShipDate: '2026-11-29' }],
  });

  it('shows what failed, one by one and by what failed alike', async () => {
    assert.equal(await said('groups'), 'No message has failed.\n');
    await recordFailures(database.store, [
      aFailure('m-1', 'order o-1 has no date'),
      aFailure('m-2', 'order o-2 has no date'),
      aFailure('m-3', 'no reason'),
    ]);
    const groups = (await said('groups', '--json'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { groupId: string; message: string; failures: number });
    const two = groups.find(({ message }) => message === 'order # has no date');
    assert.equal(groups.length, 2);
    assert.equal(two?.failures, 2);
    assert.match(
      await said('groups', '--limit', '1'),
      /^\d+ {2}open {2}delay {2}\d message\(s\): \d order\(s\), \d notice\(s\), 1 seller\(s\) {2}2026-11-22T03:00:00.000Z to 2026\S+ {2}TypeError: .*\n$/u,
    );
    const list = await said('list', '--group', two?.groupId ?? '');
    assert.match(
      list,
      /^\d+ {2}2026-11-22T03:00:00.000Z {2}delay\.bulk {2}attempt 3 {2}1 order\(s\) {2}TypeError: order o-2 has no date\n\d+ .* order o-1 has no date\n$/u,
    );
    assert.equal((await said('list', '--json')).trim().split('\n').length, 3);
  });

  it('refuses what is no number', async () => {
    for (const [args, message] of [
      [['list', '--limit', '0'], /expected a whole number from 1 to 999999/u],
      [['list', '--group', 'x'], /expected the number of a group/u],
    ] as const) {
      const { code, stdout, stderr } = await run(...args);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, message);
    }
  });
});
