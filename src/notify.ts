import { type Answer, done, type Entry, failed, infrastructure, retriable } from './pipeline/actor.ts';
import { InfrastructureError } from './pipeline/errors.ts';
import { stillTrue } from './rules/judge.ts';
import type { NoticeHeader, NoticeOrder, ShipDate } from './rules/notice.ts';
import type { Services } from './services.ts';
import type { OrderKey } from './store/batch.ts';
import {
  beginSending,
  type Ending,
  forgetSending,
  keepSending,
  type RowVersion,
  readToSend,
  recordEndings,
  type ToSend,
} from './store/sending.ts';
import { GatewayRefused, type Notification, type SendResult } from './tms/gateway.ts';
import { type Render, renderer } from './tms/render.ts';
import { sendAll } from './tms/send.ts';

type NoticeEntry = Entry<NoticeHeader, NoticeOrder>;

/** One order on its way through `notify`. */
interface Sending {
  readonly entry: NoticeEntry;
  /** Its place in the batch. */
  readonly at: number;
  /** The version of its row in the ledger. */
  row: RowVersion;
  readonly notification: Notification;
}

/**
 * Tells customers of delays, each exactly once, and records in the ledger what became of it.
 *
 * Both paths end here: the tms step with a batch, the legacy run with one order. The ledger is read first: what
 * is settled is skipped, and what is no longer true (canceled, overtaken by a newer notice, in the past) is
 * rejected instead of sent. Returns one answer per entry, after all it wrote is committed.
 *
 * A send that may have happened (the process died before the ledger knew) is repeated with the same key while
 * the gateway recognizes it, and is `unconfirmed` after that, or at once if it recognizes none.
 */
export async function notify(
  services: Services,
  batch: readonly NoticeEntry[],
): Promise<Answer<NoticeOrder>[]> {
  const answers = batch.map((): Answer<NoticeOrder> => done);
  const found = await readToSend(services.store, batch.map(keyOf), {
    withAges: batch.some(({ redelivered }) => redelivered),
  });
  const today = services.today();
  const render = renderer(services.templates);
  const endings: Ending[] = [];
  const toSend: Sending[] = [];
  batch.forEach((entry, at) => {
    const what = decide(services, render, entry, found[at], today);
    if (what === undefined) return;
    if ('state' in what) endings.push(what);
    else if ('kind' in what) answers[at] = what;
    else toSend.push({ entry, at, row: (found[at] as ToSend).row, notification: what });
  });

  const outcomes = await send(services, toSend);
  toSend.forEach(({ entry, at, row }, i) => {
    const outcome = outcomes[i] ?? noOutcome;
    if (outcome instanceof InfrastructureError) answers[at] = infrastructure(outcome);
    else if (outcome instanceof GatewayRefused) answers[at] = retriable(outcome);
    else if (outcome.status === 'retriable') answers[at] = retriable(new NotSentError(outcome.reason));
    else endings.push(endingOf(keyOf(entry), row, outcome));
  });
  await recordEndings(services.store, endings).catch(async (error: unknown) => {
    // The same notifications are tried again, perhaps by a retry in days: it must know that they may have been sent.
    const perhapsSent = toSend.filter((_, i) => !wasNotSent(outcomes[i]));
    if (!(error instanceof InfrastructureError)) await keepSending(services.store, keysOf(perhapsSent), 0);
    throw error;
  });
  return answers;
}

/** Says that the gateway could not serve one recipient now; nothing was sent. */
export class NotSentError extends Error {
  override name = 'NotSentError';
}

/** Decides what to do with one order: send this notification, record that ending, give this answer, or nothing. */
function decide(
  services: Services,
  render: Render,
  entry: NoticeEntry,
  found: ToSend | undefined,
  today: ShipDate,
): Notification | Ending | Answer<NoticeOrder> | undefined {
  const key = keyOf(entry);
  const { noticeId } = key;
  if (!found) {
    return failed(
      new Error(`expected order ${key.orderId} of notice ${noticeId} in the ledger as delayed, found no row`),
    );
  }
  if (found.state !== 'delayed') return undefined;
  const { row } = found;
  const sentBefore = maySendAgain(services, entry, found);
  if (sentBefore instanceof InfrastructureError) return infrastructure(sentBefore);
  if (sentBefore !== true) return { ...key, row, state: 'unconfirmed', note: sentBefore };
  const rejectReason = stillTrue(found.order, noticeId, found.newShipDate, today);
  if (rejectReason) return { ...key, row, state: 'rejected', rejectReason };
  if (found.customer.phone === '') return { ...key, row, state: 'undeliverable', note: 'no phone number' };
  try {
    return notificationOf(render, entry, found);
  } catch (error) {
    return retriable(error as Error);
  }
}

/** Tells whether the customer may be sent this (again): true, an error if it must wait, or why never. */
function maySendAgain(
  { gateway, sendInFlightMs }: Services,
  entry: NoticeEntry,
  { sendingForMs, ageMs }: ToSend,
): true | InfrastructureError | string {
  if (gateway.idempotentForMs === undefined) {
    if (sendingForMs === undefined) return true;
    if (sendingForMs > sendInFlightMs) return 'a send began and nobody recorded how it ended';
    return new InfrastructureError('another process may be sending this right now', {
      retryAfterMs: sendInFlightMs - sendingForMs,
      countsForCircuit: false,
    });
  }
  if (!entry.redelivered && sendingForMs === undefined) return true;
  if ((sendingForMs ?? ageMs ?? Number.NaN) <= gateway.idempotentForMs) return true;
  return 'may have been sent, too long ago for the gateway to recognize it';
}

function notificationOf(render: Render, entry: NoticeEntry, found: ToSend): Notification {
  const { header, item } = entry;
  const { customer } = found;
  const { template, text } = render({
    reason: item.reason ?? header.reason,
    locale: customer.locale,
    variables: {
      customer: customer.name,
      seller: header.sellerId,
      product: customer.product,
      order: item.orderId,
      oldDate: found.oldShipDate,
      newDate: found.newShipDate,
      detail: item.detail ?? header.detail,
    },
  });
  const key = `${header.noticeId}:${item.orderId}`;
  return { key, to: customer.phone, locale: customer.locale, template, text };
}

/**
 * Sends, and sees to it that the ledger knows of every send whose outcome it may never learn.
 *
 * Returns one outcome for each, in order; where it has to write to a row, `row` is the new version.
 */
async function send(
  { store, gateway, gatewayParallel }: Services,
  all: readonly Sending[],
): Promise<Outcome[]> {
  if (all.length === 0) return [];
  const forgetful = gateway.idempotentForMs === undefined;
  const mine = forgetful ? await beginSending(store, keysOf(all)) : all.map(({ row }) => row);
  const sending = all.filter((one, i) => {
    one.row = mine[i] ?? one.row;
    return mine[i] !== undefined;
  });
  const startedAt = performance.now();
  const outcomes = await sendAll(
    gateway,
    sending.map(({ notification }) => notification),
    { parallel: gatewayParallel },
  );
  if (forgetful) {
    await forgetSending(store, keysOf(sending.filter((_, i) => wasNotSent(outcomes[i]))));
  } else {
    const unsure = sending.filter((_, i) => mayHaveBeenSent(outcomes[i]));
    await keepSending(store, keysOf(unsure), performance.now() - startedAt);
  }
  let sent = 0;
  return all.map((_, i) => (mine[i] ? (outcomes[sent++] ?? noOutcome) : elsewhere));
}

type Outcome = SendResult | InfrastructureError | GatewayRefused;
const noOutcome: SendResult = { status: 'unconfirmed', reason: 'no outcome was returned' };
const elsewhere = new InfrastructureError('another process began to send this, or settled it', {
  countsForCircuit: false,
});

const wasNotSent = (outcome: Outcome | undefined) =>
  outcome instanceof Error || outcome?.status === 'retriable';
const mayHaveBeenSent = (outcome: Outcome | undefined) =>
  outcome instanceof InfrastructureError && !outcome.nothingDone;

function endingOf(
  { noticeId, sellerId, orderId }: OrderKey,
  row: RowVersion,
  result: Exclude<SendResult, { status: 'retriable' }>,
): Ending {
  if (result.status === 'delivered')
    return { noticeId, sellerId, orderId, row, state: 'notified', gatewayId: result.gatewayId };
  const state = result.status === 'permanent' ? 'undeliverable' : 'unconfirmed';
  return { noticeId, sellerId, orderId, row, state, note: result.reason };
}

const keyOf = ({ header, item }: NoticeEntry) => ({
  noticeId: header.noticeId,
  sellerId: header.sellerId,
  orderId: item.orderId,
});
const keysOf = (sending: readonly Sending[]) => sending.map(({ entry }) => keyOf(entry));
