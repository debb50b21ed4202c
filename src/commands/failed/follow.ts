import { pause } from '../../pause.ts';
import { findOperation } from '../../store/failureHistory.ts';
import type { Operation } from '../../store/failureOperations.ts';
import type { Sql } from '../../store/store.ts';
import type { Output } from '../output.ts';
import { count, showProgress } from '../progress.ts';
import { itemsTold } from './print.ts';

const lookEveryMs = 250;
const patienceMs = 15_000;

/**
 * Follows a retry on the terminal until it has ended; returns it as it ended, or undefined if Ctrl-C came first.
 *
 * The retry runs elsewhere, in a process with the part `failures`: it goes on without us.
 */
export async function followRetry(
  db: Sql,
  operationId: string,
  { warn }: Pick<Output, 'warn'>,
): Promise<Operation | undefined> {
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once('SIGINT', onInterrupt);
  let progress: ReturnType<typeof showProgress> | undefined;
  let movedAt = performance.now();
  let before = '';
  let warned = false;
  try {
    while (!interrupted.signal.aborted) {
      const operation = await findOperation(db, operationId);
      if (!operation) throw new Error(`There is no operation ${operationId}.`);
      const {
        waiting = 0,
        sent = 0,
        resolved = 0,
        failed_again = 0,
        canceled = 0,
        done = 0,
      } = operation.items;
      const total = waiting + sent + resolved + failed_again + canceled + done;
      progress ??= showProgress('Retrying', total, { lines: true });
      progress.update(total - waiting - sent, itemsTold(operation.items));
      if (operation.state !== 'running' && sent === 0) return operation;
      const now = itemsTold(operation.items);
      if (now !== before) movedAt = performance.now();
      before = now;
      if (!warned && performance.now() - movedAt > patienceMs) {
        warned = true;
        warn(
          sent === 0
            ? 'Nobody has taken it up: start a process with the part failures ("chodang start --only failures"). It waits until then.'
            : `${count(sent)} on their way for a while: do their steps run? "chodang doctor" looks.`,
        );
      }
      await pause(lookEveryMs, interrupted.signal);
    }
    return undefined;
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    progress?.stop();
  }
}
