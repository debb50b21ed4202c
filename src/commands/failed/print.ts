import type { Foreseen } from '../../failures/foresee.ts';
import type { FailureView } from '../../failures/view.ts';
import type { FailureGroup } from '../../store/failureGroups.ts';
import type { OperationItem } from '../../store/failureHistory.ts';
import type { Operation } from '../../store/failureOperations.ts';
import type { ListedFailure } from '../../store/failures.ts';
import { count } from '../progress.ts';

const first = (text: string) => text.split('\n', 1)[0] ?? '';
const plain = (state: string) => state.replace('_', ' ');
const some = (n: number, what: string) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

/** A failure in one line. */
export const failureLine = (failure: ListedFailure): string =>
  `${failure.failureId}  ${failure.failedAt.toISOString()}  ${plain(failure.state)}  ${failure.step}.${failure.lane}  ` +
  `attempt ${failure.attempt}  ${some(failure.orders, 'order')}  ${failure.errorClass}: ${first(failure.errorMessage)}`;

/** A group in three lines: what and how much, what for, and how it is retried as it stands here. */
export function groupLines(group: FailureGroup): string[] {
  const { groupId, state, step, open, retrying, failures, orders, notices, sellers, sampleId } = group;
  return [
    `${groupId}  ${state}  ${step}  ${count(open)} open${retrying > 0 ? `, ${count(retrying)} being retried` : ''} of ` +
      `${some(failures, 'failure')}: ${some(orders, 'order')}, ${some(notices, 'notice')}, ${some(sellers, 'seller')}  ` +
      `${group.firstFailedAt.toISOString()} to ${group.lastFailedAt.toISOString()}`,
    `    ${group.errorClass}: ${group.message}${group.frame === null ? '' : `  in ${group.frame}`}`,
    ...(open > 0 ? [`    retry: chodang failed retry --group ${groupId} --up-to ${sampleId}`] : []),
  ];
}

/** All there is to say of one failure. */
export function failureLines(failure: FailureView): string[] {
  const { headers, body, revealed } = failure;
  return [
    failureLine(failure),
    `group      ${failure.groupId ?? 'none'}`,
    `since      ${failure.stateAt.toISOString()} ${plain(failure.state)}${failure.operationId === null ? '' : `, by operation ${failure.operationId}`}`,
    ...(failure.retryOf === null ? [] : [`retry of   ${failure.retryOf}`]),
    `published  ${failure.publishedAt?.toISOString() ?? 'not known'}`,
    `recorded   ${failure.recordedAt.toISOString()}`,
    `notices    ${failure.noticeIds.join(', ') || 'none that could be made out'}`,
    `sellers    ${failure.sellerIds.join(', ') || 'none that could be made out'}`,
    `message    ${failure.messageId}, type ${failure.type ?? 'not known'}`,
    `headers    ${JSON.stringify(headers)}`,
    `stack      ${failure.errorStack ?? 'none'}`,
    `body       ${typeof body === 'string' ? body : JSON.stringify(body, null, 2)}`,
    ...(revealed ? [] : ['Personal data is masked: --reveal shows it, and is kept in the history.']),
  ];
}

/** What would become of a failure, in one line. */
export function foreseenLine({
  failureId,
  step,
  lane,
  would,
  why,
  goOn,
  settled,
  rejected,
}: Foreseen): string {
  if (would === 'skip') return `${failureId}  would be left alone: ${why}`;
  if (would === 'fail') return `${failureId}  ${step}.${lane}  would fail again: ${why}`;
  const parts = [`${some(goOn, 'order')} would go on`];
  if (settled > 0) parts.push(`${count(settled)} settled already, and left alone`);
  for (const [reason, orders] of Object.entries(rejected))
    parts.push(
      `${count(orders.length)} would be rejected: ${reason} (${orders.slice(0, 5).join(', ')}${orders.length > 5 ? ', …' : ''})`,
    );
  return `${failureId}  ${step}.${lane}  ${parts.join('; ')}`;
}

/** An operation in one line: who did what, when and why, and what came of it. */
export function operationLine(operation: Operation): string {
  const { operationId, kind, state, who, why, begunAt, detail, items, endedBy, endedWhy } = operation;
  const how = [
    detail.groupId === undefined ? '' : ` of group ${detail.groupId} up to ${detail.upTo}`,
    detail.path === 'legacy' ? ', to the legacy run' : '',
    detail.edited === true ? ', edited' : '',
    kind === 'undo' ? ` of operation ${detail.operationId}` : '',
  ].join('');
  const ended =
    state === 'stopped' || state === 'canceled'
      ? `  ${state}${endedBy === null ? '' : ` by ${endedBy}`}: ${endedWhy ?? 'no reason given'}`
      : kind === 'retry'
        ? `  ${state}`
        : '';
  return `${operationId}  ${begunAt.toISOString()}  ${who}  ${kind}${how}: ${itemsTold(items)}${ended}${why === null ? '' : `  (${why})`}`;
}

/** How many failures of an operation are in which state. */
export function itemsTold(items: Operation['items']): string {
  const known = Object.entries(items).map(([state, n]) =>
    state === 'done' ? some(n, 'failure') : `${count(n)} ${plain(state)}`,
  );
  return known.join(', ') || 'no failure';
}

/** One failure of an operation, in one line. */
export const itemLine = ({ failureId, state, sentAt, failedAs }: OperationItem): string =>
  `    ${failureId}  ${plain(state)}${sentAt === null ? '' : `  sent ${sentAt.toISOString()}`}${failedAs === null ? '' : `  as failure ${failedAs}`}`;
