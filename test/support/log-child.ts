import { spawnSync } from 'node:child_process';
import { openLog } from '../../src/log.ts';

// Writes as many lines of a kilobyte as it is told, whether anybody reads them or not, and one more at the level of the second
// argument, and says when it has. At SIGTERM it ends with 3: at once or, with a third argument, when nothing is left to do.
const [lines, level = 'info', byItself] = process.argv.slice(2);
const log = openLog({ level: 'info' });
spawnSync('true', { stdio: 'inherit' }); // as worker processes have the output of their primary one
const text = '.'.repeat(1_000);
for (let at = 0; at < Number(lines); at += 1) log.info({ at }, text);
log[level as 'info' | 'fatal']({ at: Number(lines) }, 'the last');
const staying = setInterval(() => undefined, 60_000); // until it is told to end
process.once('SIGTERM', () => {
  if (!byItself) process.exit(3);
  clearInterval(staying);
  process.disconnect?.();
  process.exitCode = 3;
});
process.send?.('written');
