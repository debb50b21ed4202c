import { openSwitches, type Switches } from '../../src/switches/open.ts';
import { registry } from './opened.ts';

// A process that follows the switches: a line of JSON for each change, with what it gives from then on.
// It closes the switches when its standard input ends, and must then end by itself.

const [connect = '', root = ''] = process.argv.slice(2);
let switches: Switches | undefined;
switches = await openSwitches({
  connect,
  root,
  registry,
  sessionTimeoutMs: 1_000,
  connectWaitMs: 200,
  log: { info: () => {}, warn: () => {}, error: () => {} },
  onChange: (change) => setImmediate(say, change.kind),
});
say('open');
process.stdin.resume().on('end', () => void switches?.close().then(() => say('closed')));

function say(kind: string): void {
  if (switches === undefined) return;
  const { variant, reason } = switches.evaluate('delay-notice-path', { sellerId: 's-17' });
  process.stdout.write(`${JSON.stringify({ kind, variant, reason })}\n`);
}
