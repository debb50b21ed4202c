import { feedStep } from '../config/topology.ts';
import { readChunks } from '../pipeline/message.ts';
import { type NoticeChunk, noticeFormat } from '../rules/message.ts';
import { orderEventsIn } from '../rules/orderFormat.ts';
import { chunksIn } from '../rules/salvage.ts';
import type { RecordedFailure } from '../store/failures.ts';

/** Tells why a failed message can't be understood by its step as it is; undefined if it can. */
export function unreadable({
  step,
  type,
  body,
}: Pick<RecordedFailure, 'step' | 'type' | 'body'>): string | undefined {
  try {
    if (step === feedStep) orderEventsIn(body);
    else chunksOf(step, body, type ?? undefined);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Reads a message as its step would; throws an error that names what is wrong with it. */
export function chunksOf(step: string, body: Buffer, type: string = `${step}.v1`): NoticeChunk[] {
  // The legacy run takes chunks from `intake`, whatever the message around them was called.
  if (step === 'legacy' && chunksIn(body).length > 0) return chunksIn(body).map(noticeFormat.parseChunk);
  return readChunks(noticeFormat, step, { content: body, type });
}
