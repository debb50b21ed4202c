import { Command } from 'commander';
import { openLog } from '../log.ts';
import { migrate } from '../store/migrate.ts';
import { openStore } from '../store/store.ts';
import { loadSettings, requireUrls } from './settings.ts';

const example = `
Example:
  $ CHODANG_POSTGRES_URL=postgres://… chodang migrate

"chodang start" does the same by itself. Two at once are safe: the second waits for the first.`;

/** Makes `chodang migrate`, which brings the schema of the database up to date. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('brings the schema of the database up to date')
    .option('--json', 'prints { migrations }, the names of those it ran')
    .addHelpText('after', example)
    .action(async ({ json }: { json?: boolean }) => {
      const config = loadSettings();
      requireUrls(config, ['postgres']);
      const store = openStore({
        ...config.postgres,
        log: openLog({ level: 'warn', destination: process.stderr }),
      });
      try {
        const migrations = await migrate(store);
        const told = migrations.length === 0 ? 'The schema is up to date.' : `Ran ${migrations.join(', ')}.`;
        process.stdout.write(json ? `${JSON.stringify({ migrations })}\n` : `${told}\n`);
      } finally {
        await store.close();
      }
    });
}
