import assert from 'node:assert/strict';
import { InfrastructureError } from '../../src/pipeline/errors.ts';
import { type Gateway, GatewayRefused, type Notification, type SendResult } from '../../src/tms/gateway.ts';
import { type SendOutcome, sendAll } from '../../src/tms/send.ts';
import { gatewayAt, kinds, notification, notifications } from './makers.ts';
import { endLeftovers, type Simulator, startSimulator, temporaryFolder } from './startSimulator.ts';

describe('sendAll', () => {
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

  for (const [kind, idempotentForMs] of Object.entries(kinds)) {
    it(`sends the neighbours of one that is refused, each once (gateway ${kind})`, async () => {
      const account = simulator.account();
      const all = notifications(100);
      const culprits = [all[17], all[18], all[99]].map((each) => each?.to ?? '');
      await account.faults({ refuseTo: culprits });
      const gateway = gatewayAt(account.url, { idempotentForMs });
      const outcomes = await sendAll(gateway, all, { parallel: 2 });
      await gateway.close();
      assert.deepEqual(
        all.filter((_, i) => outcomes[i] instanceof GatewayRefused).map(({ to }) => to),
        culprits,
      );
      assert.equal(outcomes.filter(isDelivered).length, 97);
      const { delivered, maxPerKey } = await account.stats();
      assert.deepEqual({ delivered, maxPerKey }, { delivered: 97, maxPerKey: 1 });
    });
  }

  it('finds by halving how many recipients a gateway takes that takes fewer than we were told', async () => {
    const account = simulator.account();
    await account.faults({ maxRecipients: 3 });
    const gateway = gatewayAt(account.url, { maxRecipients: 10 });
    const outcomes = await sendAll(gateway, notifications(25), { parallel: 2 });
    await gateway.close();
    assert.ok(outcomes.every(isDelivered));
    const { delivered, repeatedKeys } = await account.stats();
    assert.deepEqual({ delivered, repeatedKeys }, { delivered: 25, repeatedKeys: 0 });
  });

  it('makes calls of at most maxRecipients, at most as many at once as it may, and keeps the order', async () => {
    const sizes: number[] = [];
    let underWay = 0;
    let most = 0;
    const outcomes = await sendAll(
      gatewayThat(async (call) => {
        sizes.push(call.length);
        underWay++;
        most = Math.max(most, underWay);
        await new Promise(setImmediate);
        underWay--;
        return call.map(delivered);
      }),
      notifications(45),
      { parallel: 3 },
    );
    assert.deepEqual(sizes, [10, 10, 10, 10, 5]);
    assert.equal(most, 3);
    assert.deepEqual(outcomes, notifications(45).map(delivered));
  });

  it('begins no further call once the gateway is away', async () => {
    const error = new InfrastructureError('away');
    let calls = 0;
    const outcomes = await sendAll(
      gatewayThat(async (call) => {
        calls++;
        if (calls === 2) throw error;
        return call.map(delivered);
      }),
      notifications(50),
      { parallel: 1 },
    );
    assert.equal(calls, 2);
    assert.equal(outcomes.length, 50);
    assert.ok(outcomes.slice(0, 10).every(isDelivered));
    assert.ok(outcomes.slice(10, 20).every((outcome) => outcome === error));
    assert.ok(
      outcomes.slice(20).every(isNotBegun),
      'what was never begun can be told from what may have arrived',
    );
  });

  it('waits for calls that are under way when another finds the gateway away', async () => {
    const error = new InfrastructureError('away');
    let finish: (() => void) | undefined;
    const outcomes = await sendAll(
      gatewayThat(async (call) => {
        if (call[0]?.key === notification(1).key) {
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
          return call.map(delivered);
        }
        setImmediate(() => finish?.());
        throw error;
      }),
      notifications(30),
      { parallel: 2 },
    );
    assert.ok(outcomes.slice(0, 10).every(isDelivered));
    assert.ok(outcomes.slice(10, 20).every((outcome) => outcome === error));
    assert.ok(outcomes.slice(20).every(isNotBegun));
  });

  it('never throws: a gateway that breaks its contract leaves the outcome unknown', async () => {
    const plain = await sendAll(gatewayThat(breaks), notifications(2), { parallel: 1 });
    assert.deepEqual(plain.map(statusOf), ['unconfirmed', 'unconfirmed']);
    const [repeatable] = await sendAll({ ...gatewayThat(breaks), idempotentForMs: 1 }, [notification(1)], {
      parallel: 1,
    });
    assert.ok(repeatable instanceof InfrastructureError && repeatable.opensCircuit);
    const short = await sendAll(
      gatewayThat(async () => []),
      notifications(2),
      { parallel: 1 },
    );
    assert.deepEqual(short.map(statusOf), ['unconfirmed', 'unconfirmed']);
  });

  it('returns nothing for nothing', async () => {
    assert.deepEqual(await sendAll(gatewayThat(breaks), [], { parallel: 4 }), []);
  });
});

/** A gateway of 10 recipients a call that does as `send` says. */
function gatewayThat(send: Gateway['send']): Gateway {
  return { maxRecipients: 10, idempotentForMs: undefined, send, close: async () => undefined };
}

async function breaks(): Promise<never> {
  throw new TypeError('oops');
}

const delivered = ({ key }: Notification): SendResult => ({ status: 'delivered', gatewayId: `id of ${key}` });
const statusOf = (outcome: SendOutcome) => (outcome instanceof Error ? outcome.name : outcome.status);
const isNotBegun = (outcome: SendOutcome) =>
  outcome instanceof InfrastructureError && outcome.message === 'away' && outcome.nothingDone;
const isDelivered = (outcome: SendOutcome) => statusOf(outcome) === 'delivered';
