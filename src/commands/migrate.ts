import { Command } from 'commander';
import { migrate } from '../store/migrate.ts';
import { withStore } from './withStore.ts';

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
    .action(({ json }: { json?: boolean }) =>
      withStore(async (store) => {
        const migrations = await migrate(store);
        const told = migrations.length === 0 ? 'The schema is up to date.' : `Ran ${migrations.join(', ')}.`;
        process.stdout.write(json ? `${JSON.stringify({ migrations })}\n` : `${told}\n`);
      }),
    );
}
