import { createTwoFilesPatch } from 'diff';
import { feedStep } from '../config/topology.ts';
import { orderEventsIn } from '../rules/orderFormat.ts';
import { chunksIn } from '../rules/salvage.ts';
import type { OrderKey } from '../store/batch.ts';
import { OperationRefused } from '../store/failureChoice.ts';
import type { RecordedFailure } from '../store/failures.ts';
import { noticesOfIds, ordersNotOf } from '../store/noticeOrders.ts';
import type { Sql } from '../store/store.ts';
import { chunksOf } from './check.ts';
import { textOf } from './view.ts';

/**
 * Checks a message that somebody edited, and gives it as it would be sent.
 *
 * Throws `OperationRefused` that names what is wrong: it must be a message of its step; notice, seller and path must
 * be those of a notice that we have, so that it stays on the path it was given; and its orders must be that notice's.
 */
export async function checkEdited(db: Sql, failure: RecordedFailure, edited: string): Promise<Buffer> {
  const body = Buffer.from(edited);
  if (failure.step === feedStep) return checkedEvents(body);
  let chunks: ReturnType<typeof chunksOf>;
  try {
    chunks = chunksOf(failure.step, body);
  } catch (error) {
    throw new OperationRefused(`The edited message can't be sent: ${(error as Error).message}.`);
  }
  const notices = await noticesOfIds(
    db,
    chunks.map(({ header }) => header.noticeId),
  );
  chunks.forEach(({ header }, at) => {
    const notice = notices.get(header.noticeId);
    const where = `chunks[${at}].header`;
    if (!notice) throw new OperationRefused(`${where}.noticeId: there is no notice ${header.noticeId}.`);
    // What was handed to the legacy run says so in its header.
    for (const name of ['sellerId', 'path'] as const)
      if (header[name] !== notice[name] && !(name === 'path' && failure.step === 'legacy'))
        throw new OperationRefused(
          `${where}.${name}: expected ${JSON.stringify(notice[name])}, which is its notice's for life, got ${JSON.stringify(header[name])}.`,
        );
  });
  const keys = chunks.flatMap(({ header, items }) =>
    items.map(({ orderId }): OrderKey => ({ noticeId: header.noticeId, sellerId: header.sellerId, orderId })),
  );
  const [stranger] = await ordersNotOf(db, keys);
  if (stranger)
    throw new OperationRefused(`Order ${stranger.orderId} is not one of notice ${stranger.noticeId}.`);
  return Buffer.from(JSON.stringify({ chunks: chunksIn(body) }));
}

/** What the shop tells of its orders belongs to no notice: it only has to be understood. */
function checkedEvents(body: Buffer): Buffer {
  try {
    orderEventsIn(body);
  } catch (error) {
    throw new OperationRefused(`The edited message can't be sent: ${(error as Error).message}.`);
  }
  return Buffer.from(JSON.stringify(JSON.parse(body.toString())));
}

/** Writes a message as people edit it: indented JSON, or the text it is. Throws where it is no text at all. */
export function editable(failure: RecordedFailure): string {
  const text = textOf(failure.body);
  if (text === undefined)
    throw new OperationRefused(
      `Failure ${failure.failureId} is no text in UTF-8: write the message anew, and give it with --file.`,
    );
  try {
    return `${JSON.stringify(JSON.parse(text), null, 2)}\n`;
  } catch {
    return text; // not JSON, which may be what is to be mended
  }
}

/** Shows what was changed in a message, line by line, as a unified diff; empty if nothing was. */
export function diffOf(failure: RecordedFailure, body: Buffer): string {
  const before = textOf(failure.body) === undefined ? '' : editable(failure);
  const after = `${JSON.stringify(JSON.parse(body.toString()), null, 2)}\n`;
  if (before === after) return '';
  return createTwoFilesPatch(`failure ${failure.failureId}, as it came`, 'edited', before, after, '', '', {
    context: 2,
  });
}
