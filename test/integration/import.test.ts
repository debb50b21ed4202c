import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { addApiKey } from '../../src/store/sellers.ts';
import { writeShipDate } from '../../src/tms/shipDates.ts';
import { aCsv, csvHeader, ids, type StartedUpload, startUpload, upload } from '../http/import/uploads.ts';
import { postgres, rabbitmq } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';
import { flip } from '../switches/opened.ts';

describe('an imported file', function () {
  this.timeout(180_000);
  let world: World;
  let apiKey: string;
  beforeEach(async () => {
    // What a killed process leaves unpublished shall not wait for a minute.
    world = await aWorld({ tms: { parallel: 1 }, intake: { sweepMs: 1_000, sweepOlderThanMs: 2_000 } });
    apiKey = await addApiKey(world.store, 's-1');
    await flip(world.zookeeper, 'on');
  });
  afterEach(() => world.close());

  const to = () => ({ address: world.address(), apiKey });
  const rest = `${inDays(7)},WEATHER,`;
  const aFile = (orderIds: readonly string[]) => aCsv(orderIds, rest);
  const progress = (noticeId: string) => world.progress(noticeId);

  /** Sends all of a file under one key, again and again until it is received, and returns the notice. */
  const sendUntilReceived = (file: string) =>
    until(
      async () => {
        const { status, body } = await upload(to(), file, { key: 'k' });
        if (status !== 202) throw new Error(JSON.stringify(body));
        return String(body['noticeId']);
      },
      { what: 'the file is received', timeoutMs: 60_000 },
    );
  const exactlyOnce = async (noticeId: string, orderIds: readonly string[]) => {
    assert.deepEqual(await world.settled(noticeId, 90_000), { notified: orderIds.length });
    await world.toldOnce(noticeId, orderIds);
    const [row] = await world.store.query(
      'select count(*)::int "orders", count(distinct order_id)::int "distinct" from ledger where notice_id = $1',
      [noticeId],
    );
    assert.deepEqual(row, { orders: orderIds.length, distinct: orderIds.length });
  };
  /** Writes a file in small parts until all of it is sent, or the connection is gone. */
  const writeAll = async (started: StartedUpload, file: string, size = 8_192) => {
    for (let at = 0; at < file.length && !started.request.destroyed; at += size)
      await started.write(file.slice(at, at + size));
  };

  for (const path of ['actors', 'legacy'] as const)
    it(`tells each customer its own date and reason, on path ${path}`, async () => {
      await world.start();
      await flip(world.zookeeper, path);
      const [plain = '', later = '', truck = '', custom = ''] = await world.orders(4);
      const file =
        `${csvHeader}${plain},${inDays(7)},WEATHER,\n${later},${inDays(9)},WEATHER,"Hail, alas"\n` +
        `${truck},${inDays(7)},ETC,the truck broke down\n${custom},${inDays(8)},CUSTOM_BUILD,\nnobody,${inDays(7)},WEATHER,\n`;
      const { noticeId } = await until(
        async () => {
          const { body } = await upload(to(), file);
          return body['path'] === path && { noticeId: String(body['noticeId']) };
        },
        { what: `the switch says ${path}` },
      );
      const counts = await world.settled(noticeId);
      assert.deepEqual([counts['notified'], counts['rejected']], [4, 1]);
      const told = new Map((await world.simulator.deliveries()).map(({ key, ...rest }) => [key, rest]));
      const expected: [string, string, string[]][] = [
        [plain, 'WEATHER.ko', [writeShipDate(inDays(7), 'ko')]],
        [later, 'WEATHER.ko', [writeShipDate(inDays(9), 'ko'), 'Hail, alas']],
        [truck, 'ETC.ko', [writeShipDate(inDays(7), 'ko'), 'the truck broke down']],
        [custom, 'CUSTOM_BUILD.ko', [writeShipDate(inDays(8), 'ko')]],
      ];
      for (const [orderId, template, words] of expected) {
        const delivery = told.get(`${noticeId}:${orderId}`);
        assert.equal(delivery?.template, template);
        for (const each of words)
          assert(delivery?.text.includes(each), `expected ${each} in ${delivery?.text}`);
      }
      assert(!told.get(`${noticeId}:${plain}`)?.text.includes('Hail'), 'a detail is of its own row');
    });

  it('settles while it comes in, and each order once, however often its connection breaks', async () => {
    await world.start();
    const orderIds = await world.orders(4_000);
    const file = aFile(orderIds);
    for (const share of [0.2, 0.5, 0.8]) {
      const started = startUpload(to(), { key: 'k' });
      await writeAll(started, file.slice(0, file.length * share));
      const { noticeId } = await started.accepted;
      await until(async () => (await progress(noticeId)).counts.notified > 0, { what: 'some are told' });
      assert.equal((await progress(noticeId)).state, 'receiving');
      started.cut();
    }
    await exactlyOnce(await sendUntilReceived(file), orderIds);
  });

  for (const path of ['actors', 'legacy'] as const)
    it(`goes on after its process was killed in the middle, on path ${path}`, async () => {
      await flip(world.zookeeper, path);
      // The legacy run takes one order after the other.
      const orderIds = await world.orders(path === 'actors' ? 6_000 : 500);
      const file = aFile(orderIds);
      const { kill, gone } = await world.spawn(undefined);
      const started = startUpload(to(), { key: 'k' });
      await writeAll(started, file.slice(0, file.length * 0.6));
      const { noticeId } = await started.accepted;
      const rest = writeAll(started, file.slice(file.length * 0.6, file.length * 0.9));
      kill('SIGKILL');
      await gone;
      await rest;
      await world.start();
      assert.equal((await progress(noticeId)).state, 'receiving');
      assert.equal(await sendUntilReceived(file), noticeId);
      await exactlyOnce(noticeId, orderIds);
    });

  it('goes on after Postgres was restarted in the middle', async () => {
    await world.start();
    const orderIds = await world.orders(6_000);
    const file = aFile(orderIds);
    const started = startUpload(to(), { key: 'k' });
    await writeAll(started, file.slice(0, file.length / 2));
    const { noticeId } = await started.accepted;
    try {
      await postgres().restart();
    } finally {
      await postgres().start();
    }
    await writeAll(started, file.slice(file.length / 2));
    started.end();
    await assert.rejects(started.whole, 'the end of the answer never came');
    assert.equal(await sendUntilReceived(file), noticeId);
    await exactlyOnce(noticeId, orderIds);
  });

  it('waits while RabbitMQ is frozen: the socket is not read, memory stays flat, and then it goes on', async () => {
    await world.spawn(undefined, ['api']);
    const child = pidOfChild();
    // 60 MB, most of it rows that can't be used.
    const orderIds = ids(40_000);
    const started = startUpload(to(), { key: 'k' });
    const padding = `-,-,-,${'x'.repeat(1_400)}\n`;
    let written = 0;
    const writing = (async () => {
      await started.write(csvHeader);
      for (const orderId of orderIds) {
        await started.write(`${orderId},${rest}\n${padding}`);
        written++;
      }
      started.end();
    })();
    await started.accepted;
    let [stoppedAt, rss] = [0, 0];
    try {
      rabbitmq().pause();
      const before = rssMb(child);
      await until(
        async () => {
          const last = written;
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          return written === last;
        },
        { what: 'the sender is held up', timeoutMs: 30_000 },
      );
      stoppedAt = written;
      rss = rssMb(child) - before;
    } finally {
      rabbitmq().resume();
    }
    assert.ok(stoppedAt < orderIds.length, 'before all of it was sent');
    assert.ok(rss < 60, `${rss.toFixed(0)} MB more while it waits`);
    await writing;
    assert.equal((await started.whole).status, 202);
    const [row] = await world.store.query(
      `select n.orders, i.rejected_rows from notices n join imports i using (notice_id)`,
    );
    assert.deepEqual(row, { orders: 40_000, rejected_rows: 40_000 });
  });

  it('of 200,000 rows takes no more memory than one of 20,000, but for what it must remember', async () => {
    await world.spawn(undefined, ['api']);
    const child = pidOfChild();
    const peakOf = async (count: number, from: number) => {
      let peak = 0;
      const watch = setInterval(() => {
        peak = Math.max(peak, rssMb(child));
      }, 20);
      const parts = (function* () {
        yield csvHeader;
        for (let at = 0; at < count; at += 1_000) {
          const some = ids(1_000, from + at);
          yield some
            .map((id) => `order-${id},${rest}so much rain that nothing could be harvested\n`)
            .join('');
        }
      })();
      const startedAt = performance.now();
      const { status } = await upload(to(), parts);
      clearInterval(watch);
      assert.equal(status, 202);
      return { peak, seconds: (performance.now() - startedAt) / 1_000 };
    };
    await peakOf(20_000, 0); // what it takes to get warm
    const small = await peakOf(20_000, 0);
    const large = await peakOf(200_000, 0);
    assert.ok(large.peak - small.peak < 80, `${small.peak.toFixed(0)} MB, then ${large.peak.toFixed(0)} MB`);
    assert.ok(large.peak < 300, `${large.peak.toFixed(0)} MB`);
    assert.ok(large.seconds < 60, `${large.seconds.toFixed(1)} s`);
  });
});

/** The one process that the world has started. */
function pidOfChild(): number {
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const ofUs = readFileSync(`/proc/${name}/status`, 'utf8').includes(`\nPPid:\t${process.pid}\n`);
      if (ofUs && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('chodang-child'))
        return Number(name);
    } catch (error) {
      if (
        (error as NodeJS.ErrnoException).code !== 'ENOENT' &&
        (error as NodeJS.ErrnoException).code !== 'ESRCH'
      )
        throw error; // else it ended meanwhile
    }
  }
  throw new Error('expected a process of the world, found none');
}

const rssMb = (pid: number) =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
