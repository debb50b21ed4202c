import { raiseAlerts } from './alerts.ts';
import {
  type Choice,
  choose,
  type Left,
  lockChoice,
  nothingOpen,
  OperationRefused,
} from './failureChoice.ts';
import type { FailureState } from './failureGroups.ts';
import { type ItemState, itemsOf, lockGroupsOf, moveAndSettle } from './failureItems.ts';
import { storable, storableJson } from './storable.ts';
import { type Store, type Tx, transaction } from './store.ts';

/** Who does something, and why. */
export interface By {
  who: string;
  why?: string | undefined;
}

/** How failures are retried. */
export interface RetryOptions {
  /** So many go first, and all of them must succeed before the rest follows; 0: none. */
  canary: number;
  /** How many a second go after that; null: as many as there is room for. */
  ratePerSecond: number | null;
  /** So many that fail again stop the rest. */
  stopAfter: number;
  /** `legacy` hands them to the legacy run; null: back to the step that gave them up. */
  path: 'legacy' | null;
}

/** What an operation is at. */
export type OperationState = 'running' | 'done' | 'stopped' | 'canceled';

/** Something that was done with failures. */
export interface Operation {
  operationId: string;
  kind: 'retry' | 'discard' | 'undo' | 'look';
  /** `stopped`: by itself, since too many failed again. */
  state: OperationState;
  who: string;
  why: string | null;
  detail: OperationDetail;
  begunAt: Date;
  endedAt: Date | null;
  endedBy: string | null;
  endedWhy: string | null;
  /** How many of its failures are in each state; those that are in none of them are left out. */
  items: Partial<Record<ItemState, number>>;
}

/** How an operation does what it does. */
export interface OperationDetail extends Partial<RetryOptions> {
  /** The group that was chosen, and the last of its failures that was seen. */
  groupId?: string;
  upTo?: string;
  /** The message was edited. */
  edited?: boolean;
  /** What an undo takes back. */
  operationId?: string;
}

/** An operation that has begun. */
export interface Begun {
  operationId: string;
  /** How many failures it has in hand. */
  failures: number;
  /** Of those that were chosen by id, the ones that it hasn't, since they are not open. */
  left: Left[];
}

/**
 * Takes open failures in hand, to retry them; whoever runs operations then sends them, one after another.
 *
 * The failures are those that are open now, and no others: each is in the hand of one operation at most. Throws
 * `OperationRefused` if none of them is.
 */
export function beginRetry(
  store: Store,
  { by, choice, options, body }: { by: By; choice: Choice; options: RetryOptions; body?: Buffer | undefined },
): Promise<Begun> {
  const detail = { ...options, ...told(choice), ...(body && { edited: true }) };
  return begin(store, { kind: 'retry', by, choice, detail, to: 'retrying', item: 'waiting', body });
}

/** Gives open failures up for good: their orders stay `failed`. Throws `OperationRefused` if none is open. */
export function discardFailures(
  store: Store,
  { by, choice }: { by: By & { why: string }; choice: Choice },
): Promise<Begun> {
  return begin(store, { kind: 'discard', by, choice, detail: told(choice), to: 'discarded', item: 'done' });
}

const told = (choice: Choice) => ('groupId' in choice ? { groupId: choice.groupId, upTo: choice.upTo } : {});

async function begin(
  store: Store,
  how: {
    kind: Operation['kind'];
    by: By;
    choice: Choice;
    detail: object;
    to: FailureState;
    item: ItemState;
    body?: Buffer | undefined;
  },
): Promise<Begun> {
  return transaction(store, async (tx) => {
    await lockChoice(tx, how.choice);
    const { open, left } = await choose(tx, how.choice);
    const operationId = await insertOperation(tx, how);
    const { to, item, body } = how;
    const failures = await moveAndSettle(tx, open, { from: 'open', to, into: { operationId, body }, item });
    if (failures === 0) throw new OperationRefused(nothingOpen(how.choice, left));
    return { operationId, failures, left };
  });
}

async function insertOperation(
  tx: Tx,
  { kind, by, detail }: { kind: Operation['kind']; by: By; detail: object },
): Promise<string> {
  const [row] = await tx.rows<[string]>(
    `insert into failure_operations (kind, state, who, why, detail, ended_at)
     values ($1, $2, $3, $4, $5, case when $2 = 'done' then now() end) returning operation_id`,
    [kind, kind === 'retry' ? 'running' : 'done', storable(by.who), storable(by.why), storableJson(detail)],
  );
  if (!row) throw new Error('an insert returned no row');
  return row[0];
}

/**
 * Ends a running retry: what was not sent is open again, what was sent goes its way. Returns false if there was nothing
 * to end.
 *
 * `stopped` says that it ended by itself, which developers are alerted to. `sentToo` gives up what was sent and has not
 * ended as well, also of a retry that is over: RabbitMQ may have lost it. Should it come after all, no harm is done.
 */
export function endRetry(
  store: Store,
  operationId: string,
  how: {
    state: 'stopped' | 'canceled';
    who: string | null;
    why: string | undefined;
    sentToo?: boolean | undefined;
  },
): Promise<boolean> {
  const { state, who, why, sentToo = false } = how;
  const ids = itemsOf(operationId, sentToo ? ['waiting', 'sent'] : ['waiting']);
  return transaction(store, async (tx) => {
    await lockGroupsOf(tx, ids);
    // Under this lock nobody sends: what still waits now is what was never sent.
    const [operation] = await tx.query<{ state: OperationState }>(
      'select state from failure_operations where operation_id = $1 for update',
      [operationId],
    );
    const runs = operation?.state === 'running';
    if (!runs && !sentToo) return false;
    const failures = await moveAndSettle(tx, ids, {
      from: 'retrying',
      to: 'open',
      inHandOf: operationId,
      item: 'canceled',
    });
    if (!runs && failures === 0) return false;
    await tx.query(
      `update failure_operations set state = $2, ended_at = now(), ended_by = $3, ended_why = $4
       where operation_id = $1`,
      [operationId, state, storable(who), storable(why)],
    );
    if (state === 'stopped')
      await raiseAlerts(tx, [
        {
          kind: 'retry stopped',
          subject: `operation ${operationId}`,
          detail: { operationId, why: why ?? null, notSent: failures },
        },
      ]);
    return true;
  });
}

/**
 * Takes a discard back: those of its failures that are still discarded are open again. Throws `OperationRefused` if
 * it is none, is longer ago than `withinDays`, or there is nothing left of it.
 */
export function undoDiscard(
  store: Store,
  operationId: string,
  { by, withinDays }: { by: By; withinDays: number },
): Promise<Begun> {
  return transaction(store, async (tx) => {
    const [operation] = await tx.query<{ kind: string; late: boolean }>(
      `select kind, begun_at < now() - make_interval(days => $2) as late
       from failure_operations where operation_id = $1 for update`,
      [operationId, withinDays],
    );
    const what = `Operation ${operationId}`;
    if (!operation) throw new OperationRefused(`${what} is not known: "chodang failed history" shows all.`);
    if (operation.kind !== 'discard')
      throw new OperationRefused(
        `${what} is a ${operation.kind}: expected a discard, nothing else is undone.`,
      );
    if (operation.late) throw new OperationRefused(`${what} is longer ago than ${withinDays} days.`);
    const undo = await insertOperation(tx, { kind: 'undo', by, detail: { operationId } });
    const ids = itemsOf(operationId, ['done']);
    await lockGroupsOf(tx, ids);
    const failures = await moveAndSettle(tx, ids, {
      from: 'discarded',
      to: 'open',
      inHandOf: operationId,
      into: { operationId: undo },
      item: 'done',
    });
    if (failures === 0) throw new OperationRefused(`Nothing of operation ${operationId} is discarded still.`);
    return { operationId: undo, failures, left: [] };
  });
}

/** Keeps that somebody looked at failures with all that is in them. */
export function recordLook(store: Store, failureIds: readonly string[], by: By): Promise<string> {
  return transaction(store, async (tx) => {
    const operationId = await insertOperation(tx, { kind: 'look', by, detail: {} });
    await tx.query(
      `insert into failure_operation_items (operation_id, failure_id, state) select $1, unnest($2::bigint[]), 'done'`,
      [operationId, failureIds],
    );
    return operationId;
  });
}
