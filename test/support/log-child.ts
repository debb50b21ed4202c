import { spawnSync } from 'node:child_process';
import { openLog } from '../../src/log.ts';

// Writes so many lines of a kilobyte, whether anybody reads them or not, and one more at this level, and says when it has.
// At SIGTERM it ends with 3, at once or when nothing is left to do.
const [lines, level, end] = process.argv.slice(2);
const log = openLog({ level: 'info' });
/** Another process has our output, as worker processes have that of their primary one. */
const share = () => spawnSync('true', { stdio: 'inherit' });
share();
const text = '.'.repeat(1_000);
for (let at = 0; at < Number(lines); at += 1) log.info({ at }, text);
log[level as 'info' | 'fatal']({ at: Number(lines) }, 'the last');
share();
const staying = setInterval(() => undefined, 60_000); // until it is told to end
process.once('SIGTERM', () => {
  if (end === 'at once') process.exit(3);
  clearInterval(staying);
  process.disconnect?.();
  process.exitCode = 3;
});
process.send?.('written');
