// A process that follows switches, for bench/switches.ts: evaluates when asked to, and tells when it sees a change.
//
//   tsx bench/switches-process.ts CONNECT NAMES      ends when its parent lets go of it
import { openSwitches } from '../src/switches/open.ts';

/** What it is asked for: so many evaluations. */
export interface Asked {
  kind: 'evaluate';
  times: number;
}

/** What it tells; `at` is the machine's monotonic clock in ns, the same for all its processes. */
export type Told =
  | { kind: 'opened'; heapBytes: number }
  | { kind: 'evaluated'; nanoseconds: number }
  | { kind: 'changed'; version: number; at: string };

const [connect = '', names = ''] = process.argv.slice(2);
const tell = (message: Told) => process.send?.(message);
const definition = { variants: ['legacy', 'actors'], by: 'sellerId', fallback: 'legacy' };
const registry = Object.fromEntries(
  Array.from({ length: Number(names) }, (_, at) => [`switch-${at}`, definition]),
);
const quiet = () => undefined;
const switches = await openSwitches({
  connect,
  root: '/bench',
  registry,
  log: { info: quiet, warn: quiet, error: quiet },
  connectWaitMs: 60_000,
});
if (!switches.status().connected) throw new Error('ZooKeeper could not be reached');
globalThis.gc?.();
tell({ kind: 'opened', heapBytes: process.memoryUsage().heapUsed });

switches.subscribe((change) => {
  if (change.kind !== 'value') return;
  // Evaluated first: what counts is when the new value decides.
  const { version } = switches.evaluate('switch-0', { sellerId: 's-1' });
  const at = process.hrtime.bigint();
  if (version === change.version) tell({ kind: 'changed', version, at: String(at) });
});

const contexts = Array.from({ length: 10_000 }, (_, at) => ({ sellerId: `s-${at}` }));

process.on('message', ({ times }: Asked) => {
  let chosen = 0;
  const began = process.hrtime.bigint();
  for (let at = 0; at < times; at += 1) {
    const context = contexts[at % contexts.length] as { sellerId: string };
    if (switches.evaluate('switch-0', context).variant === 'actors') chosen += 1;
  }
  const nanoseconds = Number(process.hrtime.bigint() - began) / times;
  // A share that is far off would mean that something else was measured.
  if (chosen < times * 0.25 || chosen > times * 0.75) throw new Error(`${chosen} of ${times} were chosen`);
  tell({ kind: 'evaluated', nanoseconds });
});
process.once('disconnect', () => void switches.close());
