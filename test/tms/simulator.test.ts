import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import type { Gateway, Notification } from '../../src/tms/gateway.ts';
import { type SendOutcome, sendAll } from '../../src/tms/send.ts';
import { gatewayAt, notification, notifications } from './makers.ts';
import {
  accountAt,
  endLeftovers,
  type Simulator,
  startSimulator,
  temporaryFolder,
} from './startSimulator.ts';

describe('the simulator', function () {
  // Some tests start it three times, on a machine that has other things to do.
  this.timeout(60_000);
  const folder = temporaryFolder();
  let simulator: Simulator;
  before(async () => {
    simulator = await startSimulator(folder.path);
  });
  after(async () => {
    await simulator.stop();
    await endLeftovers();
    folder.remove();
  });

  describe('tells each customer once', () => {
    it('when answers are lost and the same keys are sent again', async () => {
      const account = simulator.account();
      await account.faults({ dropAfter: true, times: 2 });
      await sendUntilSettled(account.url, notifications(1_000));
      const { delivered, maxPerKey, recognized } = await account.stats();
      assert.deepEqual({ delivered, maxPerKey }, { delivered: 1_000, maxPerKey: 1 });
      assert.ok(recognized >= 100, 'keys must have been sent again for this to mean anything');
    });

    it('unless it is told to forget its keys: then double sends show', async () => {
      const account = simulator.account();
      await account.faults({ dropAfter: true, times: 1, idempotent: false });
      await sendUntilSettled(account.url, notifications(100), { connections: 1 });
      const { delivered, distinctKeys, repeatedKeys, maxPerKey } = await account.stats();
      assert.deepEqual(
        { delivered, distinctKeys, repeatedKeys, maxPerKey },
        { delivered: 200, distinctKeys: 100, repeatedKeys: 100, maxPerKey: 2 },
      );
    });

    it('when it crashes after accepting, and comes back', async () => {
      const own = temporaryFolder();
      const first = await startSimulator(own.path);
      await accountAt(first.url).faults({ crashAfterAccept: true });
      const before = gatewayAt(first.url, { idempotentForMs: 1 });
      const [lost] = await sendAll(before, notifications(10), { parallel: 1 });
      await before.close();
      assert.ok(lost instanceof InfrastructureError);
      assert.deepEqual(await first.gone, { code: null, signal: 'SIGKILL' });

      const second = await startSimulator(own.path);
      await sendUntilSettled(second.url, notifications(12));
      const { delivered, maxPerKey, recognized } = await accountAt(second.url).stats();
      assert.deepEqual({ delivered, maxPerKey, recognized }, { delivered: 12, maxPerKey: 1, recognized: 10 });
      await second.stop();
      own.remove();
    });
  });

  it('remembers across a restart, also if its file was left with half a line', async () => {
    const own = temporaryFolder();
    const first = await startSimulator(own.path);
    const before = accountAt(`${first.url}/accounts/shop`);
    const sent = [...notifications(3), notification(4, { to: '+821000000000', text: 'two\nlines' })];
    await sendUntilSettled(before.url, sent);
    await fetch(`${before.url}/v1/notifications`, {
      method: 'POST',
      body: JSON.stringify({ notifications: [notification(5)] }, null, 2),
    });
    const remembered = { stats: await before.stats(), deliveries: await before.deliveries() };
    await first.stop();
    appendFileSync(join(own.path, 'shop.ndjson'), '{"at":1,"took":"d","call":{"notif');

    for (let restart = 0; restart < 2; restart++) {
      const again = await startSimulator(own.path);
      const account = accountAt(`${again.url}/accounts/shop`);
      assert.deepEqual({ stats: await account.stats(), deliveries: await account.deliveries() }, remembered);
      assert.equal(remembered.stats.delivered, 4);
      await again.stop();
    }
    own.remove();
  });

  it('forgets when asked to, also on disk', async () => {
    const own = temporaryFolder();
    const first = await startSimulator(own.path);
    await sendUntilSettled(first.url, notifications(3));
    assert.equal((await fetch(`${first.url}/v1/notifications`, { method: 'DELETE' })).status, 204);
    await sendUntilSettled(first.url, notifications(1));
    await first.stop();
    const second = await startSimulator(own.path);
    assert.equal((await accountAt(second.url).stats()).delivered, 1);
    await second.stop();
    own.remove();
  });

  it('keeps accounts apart: memory and faults', async () => {
    const [one, other] = [simulator.account(), simulator.account()];
    await one.faults({ status: 500 });
    await sendUntilSettled(other.url, notifications(2));
    assert.equal((await one.stats()).delivered, 0);
    assert.equal((await other.stats()).delivered, 2);
    assert.equal((await fetch(`${simulator.url}/accounts/..%2Fevil/v1/stats`)).status, 400);
  });

  it('answers who got what, by key and phone number, page by page', async () => {
    const account = simulator.account();
    const sent = notifications(10);
    await sendUntilSettled(account.url, sent);
    const fifth = notification(5);
    for (const query of [
      `key=${encodeURIComponent(fifth.key)}`,
      `to=${encodeURIComponent(fifth.to)}`,
      `to=${fifth.to}`,
    ]) {
      assert.deepEqual(
        (await account.deliveries(query)).map(({ key }) => key),
        [fifth.key],
        query,
      );
    }
    assert.deepEqual(
      (await account.deliveries('after=4&limit=2')).map(({ n }) => n),
      [5, 6],
    );
    const counted = await fetch(`${account.url}/v1/notifications/count?after=4`);
    assert.deepEqual(await counted.json(), { count: 6 });
  });

  it('meets a fault only as often as it was told to', async () => {
    const account = simulator.account();
    await account.faults({ status: 503, times: 2, maxRecipients: 5 });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push(await post(account.url, [notification(1)]));
    assert.deepEqual(statuses, [503, 503, 200]);
    assert.deepEqual(await (await fetch(`${account.url}/v1/faults`)).json(), { maxRecipients: 5 });
    assert.equal(await post(account.url, notifications(6)), 413);
    await fetch(`${account.url}/v1/faults`, { method: 'DELETE' });
    assert.equal(await post(account.url, notifications(6)), 200);
  });

  it('leaves out the share of results that it was told to', async () => {
    const account = simulator.account();
    await account.faults({ omitResults: { fraction: 0.1, to: [notification(1).to] } });
    const gateway = gatewayAt(account.url);
    const results = await gateway.send(notifications(100));
    await gateway.close();
    assert.equal(results.filter(({ status }) => status === 'unconfirmed').length, 11);
    assert.equal((await account.stats()).delivered, 100);
  });

  for (const [what, faults] of Object.entries({
    'a fault it does not know': { latency: 5 },
    'a wrong type': { hangMs: 'long' },
    'a status that is none': { status: 20 },
    'a result it does not know': { recipients: { '+8210': 'lost' } },
  })) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(simulator.account().faults(faults as never), /400/);
    });
  }

  for (const [what, body] of Object.entries<string | Buffer<ArrayBuffer>>({
    'no JSON': '<xml>',
    'bytes that are no UTF-8': Buffer.from('{"notifications":"\xc3"}', 'latin1'),
    'no notifications': '{}',
    'an empty list': '{"notifications":[]}',
    'a notification that is none': '{"notifications":[null]}',
    'a field of the wrong type': JSON.stringify({ notifications: [{ ...notification(1), to: 8210 }] }),
    'a missing key': JSON.stringify({ notifications: [{ ...notification(1), key: '' }] }),
  })) {
    it(`refuses a call with ${what}`, async () => {
      const account = simulator.account();
      const response = await fetch(`${account.url}/v1/notifications`, { method: 'POST', body });
      assert.equal(response.status, 400);
      assert.match(await response.text(), /expected/);
      assert.equal((await account.stats()).delivered, 0);
    });
  }

  for (const to of ['+821012340000', '', '010-1234-5678', '+82']) {
    it(`can't reach ${JSON.stringify(to)}`, async () => {
      const gateway = gatewayAt(simulator.account().url);
      const [result] = await gateway.send([notification(1, { to })]);
      await gateway.close();
      assert.equal(result?.status, 'permanent');
    });
  }

  describe('shows people', () => {
    it('what customers received, newest first, and finds them by phone number as people write it', async () => {
      const account = simulator.account();
      await sendUntilSettled(account.url, notifications(3));
      const all = await html(`${account.url}/`);
      assert.ok(all.indexOf('주문번호 3의') > 0 && all.indexOf('주문번호 3의') < all.indexOf('주문번호 1의'));
      const found = await html(`${account.url}/?q=010-1000-0021`);
      assert.match(found, /주문번호 2의/);
      assert.doesNotMatch(found, /주문번호 3의/);
      const one = await html(`${account.url}/customers/${encodeURIComponent(notification(1).to)}`);
      assert.match(one, /주문번호 1의/);
      assert.doesNotMatch(one, /주문번호 2의/);
    });

    it('text as text, never as HTML', async () => {
      const account = simulator.account();
      const evil = `"><script>alert('1')</script>&`;
      await sendUntilSettled(account.url, [
        notification(1, { text: evil, template: evil, key: evil, locale: evil }),
      ]);
      for (const page of ['/', `/?q=${encodeURIComponent(evil)}`, `/customers/${encodeURIComponent(evil)}`]) {
        const shown = await html(`${account.url}${page}`);
        assert.doesNotMatch(shown, /<script|'1'/, page);
      }
      assert.ok(
        (await html(`${account.url}/`)).includes('&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;'),
      );
    });
  });

  it('takes 30,000 notifications in calls of 1,000 and loses none', async () => {
    const account = simulator.account();
    const gateway = gatewayAt(account.url, { idempotentForMs: 1, timeoutMs: 20_000 });
    const sent = notifications(30_000).map((each) => ({ ...each, text: each.text.repeat(10) }));
    const start = performance.now();
    const outcomes = await sendAll(gateway, sent, { parallel: 2 });
    const seconds = (performance.now() - start) / 1_000;
    await gateway.close();
    assert.ok(outcomes.every((outcome) => 'status' in outcome && outcome.status === 'delivered'));
    const { delivered, distinctKeys, calls } = await account.stats();
    assert.deepEqual(
      { delivered, distinctKeys, calls },
      { delivered: 30_000, distinctKeys: 30_000, calls: 30 },
    );
    process.stdout.write(`      ${Math.round(30_000 / seconds)} notifications per second\n`);
  });

  it('answers that it is healthy, and ends cleanly while calls hang', async () => {
    const own = temporaryFolder();
    const hanging = await startSimulator(own.path);
    assert.equal((await fetch(`${hanging.url}/health`)).status, 200);
    const account = accountAt(hanging.url);
    await account.faults({ hangMs: 600_000 });
    const gateway = gatewayAt(hanging.url);
    const sent = gateway.send([notification(1)]);
    while ((await account.stats()).delivered === 0) await new Promise(setImmediate);
    await hanging.stop();
    assert.equal((await sent)[0]?.status, 'unconfirmed');
    await gateway.close();
    own.remove();
  });
});

/** Sends like the tms step: again with the same keys until the gateway has answered for every one. */
async function sendUntilSettled(
  url: string,
  all: Notification[],
  own: Parameters<typeof gatewayAt>[1] = {},
): Promise<void> {
  const gateway: Gateway = gatewayAt(url, { idempotentForMs: 86_400_000, maxRecipients: 100, ...own });
  let waiting = all;
  for (let round = 0; waiting.length > 0; round++) {
    assert.ok(round < 10, `${waiting.length} not settled after ${round} rounds`);
    const outcomes: SendOutcome[] = await sendAll(gateway, waiting, { parallel: 2 });
    waiting = waiting.filter((_, i) => outcomes[i] instanceof InfrastructureError);
  }
  await gateway.close();
}

async function html(url: string): Promise<string> {
  return (await fetch(url)).text();
}

async function post(url: string, sent: Notification[]): Promise<number> {
  const body = JSON.stringify({ notifications: sent });
  const response = await fetch(`${url}/v1/notifications`, { method: 'POST', body });
  await response.text();
  return response.status;
}
