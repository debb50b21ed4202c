import { endWithin } from '../../src/commands/endWithin.ts';
import { openLog } from '../../src/log.ts';

// Writes as many lines of a kilobyte as it is told, whether anybody reads them or not, and says when it has. At SIGTERM it
// ends with 3, at once or, told so by a second argument, when there is nothing left to do.
const lines = Number(process.argv[2]);
const log = openLog({ level: 'info' });
const text = '.'.repeat(1_000);
for (let at = 0; at < lines; at += 1) log.info({ at }, text);
const staying = setInterval(() => undefined, 60_000); // until it is told to end
process.once('SIGTERM', () => {
  log.info({}, 'stopped');
  if (process.argv[3] !== 'by itself') process.exit(3);
  clearInterval(staying);
  process.disconnect?.();
  process.exitCode = 3;
  endWithin(200);
});
process.send?.('written');
