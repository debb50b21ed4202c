import { Command } from 'commander';
import { openLog } from '../log.ts';
import { listFailures, type RecordedFailure } from '../store/failures.ts';
import { openStore } from '../store/store.ts';
import { loadSettings, requireUrls } from './settings.ts';

const examples = `
Examples:
  $ chodang failed list
  $ chodang failed list --limit 1000 --json | jq -r .errorMessage | sort | uniq -c`;

/** Makes `chodang failed`, which shows the messages that the steps gave up. */
export function failedCommand(): Command {
  const command = new Command('failed').description('shows failed messages').addHelpText('after', examples);
  command
    .command('list')
    .description('lists failed messages, the newest first')
    .option('--limit <n>', 'at most so many', '50')
    .option('--json', 'prints one JSON object per line')
    .addHelpText('after', examples)
    .action(async ({ limit, json }: { limit: string; json?: boolean }) => {
      if (!/^[1-9]\d{0,5}$/.test(limit))
        throw new Error(`--limit: expected a whole number from 1 to 999999, got "${limit}"`);
      const config = loadSettings();
      requireUrls(config, ['postgres']);
      const store = openStore({
        ...config.postgres,
        log: openLog({ level: 'warn', destination: process.stderr }),
      });
      try {
        const failures = await listFailures(store, { limit: Number(limit) });
        for (const failure of failures) process.stdout.write(`${json ? jsonOf(failure) : lineOf(failure)}\n`);
        if (failures.length === 0 && !json) process.stdout.write('No message has failed.\n');
      } finally {
        await store.close();
      }
    });
  return command;
}

const jsonOf = ({ body, ...rest }: RecordedFailure) =>
  JSON.stringify({ ...rest, body: body.toString('utf8') });

const lineOf = ({
  failureId,
  failedAt,
  step,
  lane,
  attempt,
  orders,
  errorClass,
  errorMessage,
}: RecordedFailure) =>
  `${failureId}  ${failedAt.toISOString()}  ${step}.${lane}  attempt ${attempt}  ${orders} order(s)  ` +
  `${errorClass}: ${errorMessage.split('\n')[0]}`;
