import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { load } from '../../bench/load.ts';
import { addApiKey } from '../../src/store/sellers.ts';
import { startChodang } from '../support/cli.ts';
import { until } from '../support/wait.ts';
import { aWorld, inDays, type World } from '../support/world.ts';

/** It is 300 MB for what is built; here tsx, and what it has read, are in the same process. */
const mostMb = 400;
const sellers = 60;
const notices = 150;
const orders = 50_000;

describe('the memory of a process', function () {
  this.timeout(120_000);
  let world: World;
  beforeEach(async () => {
    world = await aWorld();
  });
  afterEach(() => world.close());

  it('is bounded while many sellers post 50,000 orders each at once, and what was accepted is there', async function () {
    if (process.platform !== 'linux') this.skip(); // who holds how much is read from /proc
    const { child, ended } = startChodang(['start', '--only', 'api', '--json'], {
      // As the first line of src/main.ts has it, which tsx does not see.
      env: { ...world.env, NODE_OPTIONS: '--max-semi-space-size=32 --max-old-space-size=640' },
    });
    assert(child.stdout);
    let address: string | undefined;
    createInterface(child.stdout).on('line', (line) => {
      address ??= (JSON.parse(line) as { address?: string }).address;
    });
    let mostSeenMb = 0;
    const looking = setInterval(() => {
      const [, kb] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      mostSeenMb = Math.max(mostSeenMb, Number(kb) / 1_024);
    }, 50);
    try {
      const ready = await until(() => address, { what: 'it is ready', timeoutMs: 60_000 });
      const apiKeys = await Promise.all(
        Array.from({ length: sellers }, (_, at) => addApiKey(world.store, `many-${at}`)),
      );
      const { notices: accepted, refused } = await load({
        address: ready,
        apiKeys,
        prefix: 'large',
        count: notices,
        orders,
        perSecond: 1_000,
        newShipDate: inDays(7),
        connections: sellers,
        again: false,
      });
      assert.equal(accepted.length + refused, notices);
      assert(accepted.length > 0 && refused > 0, `${accepted.length} accepted, ${refused} refused`);
      const [stored] = await world.store.rows<[number, number]>(
        `select count(*)::int, (select count(*)::int from intake) from notices where orders = ${orders}`,
      );
      assert.deepEqual(stored, [accepted.length, (accepted.length * orders) / 500]);
      assert(mostSeenMb < mostMb, `${mostSeenMb.toFixed(0)} MB`);
    } finally {
      clearInterval(looking);
      child.kill('SIGKILL');
      await ended;
    }
  });
});
