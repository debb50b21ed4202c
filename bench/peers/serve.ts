import type { NoticeChunk } from '../../src/rules/message.ts';
import type { Asked, Mode, Told } from './messages.ts';
import { chunksOf } from './steps.ts';

/** A queue with all its workers running. */
export interface Peer {
  /** Puts jobs for the first step into the queue, with the call that the library has for many at once. */
  enqueue(chunks: readonly NoticeChunk[]): Promise<void>;
  /** Lets the workers finish what they hold, and closes all connections. */
  close(): Promise<void>;
}

/** Serves the benchmark: does as `Asked` says, until the benchmark lets go of this process. */
export async function serve(open: (mode: Mode) => Promise<Peer>): Promise<void> {
  const peer = await open(process.argv[2] as Mode);
  let chunks: NoticeChunk[] = [];
  process.on('message', (asked: Asked) => {
    if (asked.kind === 'prepare') {
      chunks = chunksOf(asked.orders);
      tell({ kind: 'prepared' });
    } else void peer.enqueue(chunks).then(() => tell({ kind: 'enqueued' }));
  });
  process.once('disconnect', () => void peer.close().then(() => process.exit(0)));
  tell({ kind: 'ready' });
}

const tell = (told: Told) => process.send?.(told);
