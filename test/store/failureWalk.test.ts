import assert from 'node:assert/strict';
import { failedOrdersOf } from '../../src/rules/salvage.ts';
import { type Choice, OperationRefused } from '../../src/store/failureChoice.ts';
import { beginRetry, discardFailures, endRetry, undoDiscard } from '../../src/store/failureOperations.ts';
import { removeOldFailures } from '../../src/store/failureRetention.ts';
import { type Failure, recordFailures } from '../../src/store/failures.ts';
import { markPublished, takeNext, undecided } from '../../src/store/resends.ts';
import { finishRetries, ledgerStatesOf, recordEnds } from '../../src/store/retries.ts';
import type { Store } from '../../src/store/store.ts';
import { emptyTables, migratedDatabase, storeIntake } from '../support/database.ts';
import { groupsAddUp, noneForgotten } from '../support/groups.ts';
import { aNotice } from '../support/makers.ts';
import { randomFrom } from '../support/random.ts';

const by = { who: 'kim', why: 'a walk' };
const notices = [aNotice(), aNotice(), aNotice()];
const orderIds = Array.from({ length: 12 }, (_, at) => `o-${at}`);

/** What may become of a row of the ledger: anything else ends the statement, and with it the test. */
const guard = `
  create function allowed() returns trigger language plpgsql as $$
  begin
    if tg_op = 'DELETE' then
      if old.state <> 'failed' or old.failed_from is not null then raise 'deleted while %', old.state; end if;
      return old;
    end if;
    if (old.state, new.state) in (('delayed', 'notified'), ('delayed', 'failed'), ('failed', 'delayed')) then
      if new.state = 'delayed' and old.failed_from is distinct from 'delayed' then raise 'restored to what it was not'; end if;
      return new;
    end if;
    raise '% became %', old.state, new.state;
  end $$;
  create trigger allowed before update or delete on ledger for each row execute function allowed()`;

describe('operations on failures, in any order and by many at once', function () {
  this.timeout(240_000);
  let store: Store;
  let drop: () => Promise<void>;
  before(async () => {
    ({ store, drop } = await migratedDatabase({ poolSize: 8 }));
    await store.query(guard);
  });
  after(() => drop());
  beforeEach(async () => {
    await emptyTables(store);
    for (const notice of notices)
      await storeIntake(store, notice, [orderIds.map((orderId) => ({ orderId }))]);
  });

  /** Walks at random; what it does follows from the seed, but for who is quicker. */
  function aWalk(seed: number, { removing }: { removing: boolean }) {
    const random = randomFrom(seed);
    const recorded: Failure[] = [];
    const done: Record<string, number> = {};

    function aFailure(parts: Partial<Failure> = {}): Failure {
      const header = random.one(notices) ?? assert.fail();
      const content =
        parts.content ??
        Buffer.from(
          JSON.stringify({
            chunks: [{ header, items: random.some(orderIds).map((orderId) => ({ orderId })) }],
          }),
        );
      const failure: Failure = {
        step: random.one(['validation', 'delay', 'tms']) ?? '',
        lane: 'bulk',
        messageId: `m-${recorded.length}-${seed}`,
        errorClass: random.one(['TypeError', 'RangeError']) ?? '',
        errorMessage: 'no',
        errorStack: undefined,
        attempt: 1,
        failedAt: new Date(),
        headers: {},
        orders: failedOrdersOf(content),
        ...parts,
        content,
      };
      recorded.push(failure);
      return failure;
    }

    const ids = async (sql: string, values: unknown[] = []) =>
      (await store.rows<[string]>(sql, values)).map(([id]) => id);
    const retries = () => ids(`select operation_id from failure_operations where kind = 'retry'`);

    async function choice(): Promise<Choice> {
      const groupId = random.one(await ids('select group_id from failure_groups'));
      const [upTo = '0'] = await ids('select max(failure_id) from failures');
      if (groupId !== undefined && random.next() < 0.3) return { groupId, upTo };
      return {
        failureIds: random.some(await ids(`select failure_id from failures where state <> 'resolved'`)),
      };
    }

    /** Some message of a retry that is under way, as a step would have it in hand. */
    async function onItsWay() {
      const rows = await store.query<{ operationId: string; failureId: string; body: Buffer; step: string }>(
        `select i.operation_id as "operationId", failure_id as "failureId", f.body, f.step
         from failure_operation_items i join failures f using (failure_id) where i.state = 'sent'`,
      );
      return random.one(rows);
    }

    const steps: Record<string, () => Promise<unknown>> = {
      record: () =>
        recordFailures(
          store,
          Array.from({ length: 1 + random.below(4) }, () => aFailure()),
        ),
      'record again': () => recordFailures(store, random.some(recorded.slice(-20)).toReversed()),
      retry: async () =>
        beginRetry(store, {
          by,
          choice: await choice(),
          options: {
            canary: 0,
            ratePerSecond: null,
            stopAfter: 5,
            path: random.next() < 0.3 ? 'legacy' : null,
          },
        }),
      discard: async () => discardFailures(store, { by, choice: await choice() }),
      undo: async () => {
        const operationId = random.one(
          await ids(`select operation_id from failure_operations where kind = 'discard'`),
        );
        if (operationId !== undefined) await undoDiscard(store, operationId, { by, withinDays: 1 });
      },
      end: async () => {
        const operationId = random.one(await retries());
        const state = random.one(['stopped', 'canceled'] as const) ?? 'canceled';
        if (operationId !== undefined)
          await endRetry(store, operationId, { state, who: 'lee', why: 'a walk' });
      },
      take: async () => {
        const operationId = random.one(await retries());
        if (operationId === undefined) return;
        const { resends } = await takeNext(store, operationId, 1 + random.below(3));
        const failureIds = resends.map(({ failureId }) => failureId);
        if (random.next() < 0.8) await markPublished(store, operationId, failureIds.toReversed());
      },
      'fail again': async () => {
        const message = await onItsWay();
        if (message) await recordFailures(store, [aFailure({ content: message.body, retryOf: message })]);
      },
      settle: async () => {
        const message = await onItsWay();
        for (const { noticeId, orderId, sellerId, newShipDate } of failedOrdersOf(
          message?.body ?? Buffer.alloc(0),
        ))
          await store.query(
            `insert into ledger as l (notice_id, order_id, seller_id, state, new_ship_date, settled_at)
             values ($1, $2, $3, $4::ledger_state, $5, case when $4 = 'notified' then now() end)
             on conflict (notice_id, order_id) do update set state = 'notified', settled_at = now()
             where l.state = 'delayed'`,
            [noticeId, orderId, sellerId, random.next() < 0.7 ? 'notified' : 'delayed', newShipDate],
          );
      },
      decide: async () => {
        for (const operationId of await retries()) {
          const sent = await undecided(store, operationId, { limit: 100, after: '0' });
          for (const { failureId, body } of sent) {
            const states = await ledgerStatesOf(store, failedOrdersOf(body));
            if (states.some((state) => state === undefined || state === 'delayed')) continue;
            const state = states.includes('failed') ? 'failed_again' : 'resolved';
            await recordEnds(store, [{ operationId, failureId, state }]);
          }
        }
      },
      finish: () => finishRetries(store),
      // Everything that is closed is old enough.
      ...(removing && { remove: () => removeOldFailures(store, { keepDays: -1, limit: 3 }) }),
    };

    return {
      done,
      async step(): Promise<void> {
        const name = random.one(Object.keys(steps)) ?? '';
        try {
          await steps[name]?.();
          done[name] = (done[name] ?? 0) + 1;
        } catch (error) {
          // Nothing to do is an answer; a deadlock, a broken rule or a count below zero is none.
          if (!(error instanceof OperationRefused))
            throw new Error(`${name}: ${String(error)}`, { cause: error });
        }
      },
    };
  }

  for (const [seed, removing] of [
    [1, false],
    [2, false],
    [3, true],
  ] as const)
    it(`everything adds up after each of 20 rounds of a random walk (seed ${seed}${removing ? ', and old ones removed' : ''})`, async () => {
      const walks = Array.from({ length: 4 }, (_, worker) => aWalk(seed * 100 + worker, { removing }));
      for (let round = 0; round < 20; round += 1) {
        await Promise.all(
          walks.map(async (walk) => {
            for (let at = 0; at < 12; at += 1) await walk.step();
          }),
        );
        await groupsAddUp(store, { removed: removing });
        if (!removing) await noneForgotten(store);
      }
      const done = walks.flatMap((walk) => Object.keys(walk.done));
      for (const name of [
        'record',
        'retry',
        'discard',
        'undo',
        'end',
        'take',
        'fail again',
        'settle',
        'decide',
      ])
        assert(done.includes(name), `the walk never came to ${name}`);
      const numbers = await store.rows(
        'select notice_id, count(*)::int, max(chunk_no) + 1 from intake group by 1',
      );
      for (const [, count, next] of numbers) assert.equal(count, next, 'the numbers of chunks have no gap');
    });
});
