import { openLog } from '../../src/log.ts';

// Writes as many lines of a kilobyte as it is told, whether anybody reads them or not, and says when it has.
const lines = Number(process.argv[2]);
const log = openLog({ level: 'info' });
const text = '.'.repeat(1_000);
for (let at = 0; at < lines; at += 1) log.info({ at }, text);
setInterval(() => undefined, 60_000); // until it is killed
process.send?.('written');
