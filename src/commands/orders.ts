import { basename } from 'node:path';
import { Command } from 'commander';
import type { Config } from '../config/schema.ts';
import { type ImportCounts, importOrders } from '../import/import-orders.ts';
import { loadMappings } from '../import/mapping.ts';
import { readOrders } from '../import/read.ts';
import { rejectsFile } from '../import/rejects.ts';
import { openSource, type TextSource } from '../import/source.ts';
import { openLog } from '../log.ts';
import { today } from '../rules/dates.ts';
import { migrate } from '../store/migrate.ts';
import { openStore } from '../store/store.ts';
import { count, showProgress } from './progress.ts';
import { loadSettings, requireUrls } from './settings.ts';

interface Options {
  mapping?: string;
  rejects?: string;
  json?: boolean;
}

const examples = `
Examples:
  $ chodang orders import orders.csv
  $ chodang orders import orders-2026.csv.gz --mapping chodang --rejects /tmp/bad-rows.csv
  $ zcat orders.csv.gz | chodang orders import - --json

The file is a CSV with a header, gzipped or not. A mapping (config/mappings/*.yaml) says which column is what;
docs/importing.md says how to write one. Importing a file twice changes nothing, and never undoes a delay.
Ends with 0 if all rows were imported, with 2 if some were rejected and the others imported, with 1 if it broke off.`;

/** Makes `chodang orders`, which feeds in the shop's orders. */
export function ordersCommand(): Command {
  const command = new Command('orders')
    .description("feeds in the shop's orders")
    .addHelpText('after', examples);
  command
    .command('import')
    .description('imports orders from a CSV file; - is standard input')
    .argument('<file>', 'CSV, also gzipped')
    .option('--mapping <name>', 'which mapping of config/mappings/ (default: the one that fits the header)')
    .option('--rejects <file>', "where rows that can't be used go (default: FILE.rejects.csv, here)")
    .option('--json', 'prints one JSON object')
    .addHelpText('after', examples)
    .action(runImport);
  return command;
}

async function runImport(file: string, options: Options): Promise<void> {
  const config = loadSettings();
  requireUrls(config, ['postgres']);
  const log = openLog({
    level: config.log.level === 'silent' ? 'silent' : 'warn',
    destination: process.stderr,
  });
  const source = await openSource(file);
  const orders = await readOrders(source, {
    mappings: loadMappings(),
    wanted: options.mapping,
    ...shopOf(config),
  });
  const rejectsPath = options.rejects ?? `${file === '-' ? 'orders.csv' : basename(file)}.rejects.csv`;
  const rejects = rejectsFile(rejectsPath);
  const store = openStore({ ...config.postgres, log });
  const startedAt = performance.now();
  const progress = showProgress('importing', source.totalBytes ?? 0);
  let counts: ImportCounts = { rows: 0, imported: 0, rejected: 0, sellers: 0 };
  try {
    await migrate(store);
    await importOrders(store, orders, {
      rejects,
      onStored(_rows, soFar) {
        counts = soFar;
        tell(progress, source, soFar);
      },
    });
  } catch (error) {
    throw new Error(
      `${(error as Error).message}\nThe import broke off after ${count(counts.imported)} orders. Run it again: an order that is there already is only brought up to date.`,
      { cause: error },
    );
  } finally {
    progress.stop();
    await rejects.close();
    await store.close();
  }
  show(options, {
    file,
    mapping: orders.mapping.name,
    ...counts,
    rejectsFile: counts.rejected > 0 ? rejectsPath : null,
    seconds: round((performance.now() - startedAt) / 1_000),
  });
  if (counts.rejected > 0) process.exitCode = 2;
}

/** What reading a row must know of the shop. */
export const shopOf = ({ shop }: Config) => ({
  today: today(() => new Date(), shop.timeZone),
  timeZone: shop.timeZone,
  locale: shop.locale,
});

function tell(
  progress: { update(done: number, told: string): void },
  source: TextSource,
  counts: ImportCounts,
): void {
  const rejected = counts.rejected > 0 ? `, ${count(counts.rejected)} rejected` : '';
  progress.update(source.bytesRead(), `${count(counts.imported)} orders${rejected}`);
}

interface Outcome extends ImportCounts {
  file: string;
  mapping: string;
  rejectsFile: string | null;
  seconds: number;
}

function show({ json }: Options, outcome: Outcome): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    return;
  }
  const { file, mapping, imported, sellers, rejected, seconds } = outcome;
  const perSecond = count(Math.round(outcome.rows / Math.max(seconds, 0.001)));
  process.stdout.write(
    `${count(imported)} orders of ${count(sellers)} sellers imported from ${file} (mapping ${mapping}), ` +
      `in ${seconds} s: ${perSecond} rows per second.\n`,
  );
  if (outcome.rejectsFile !== null)
    process.stdout.write(
      `${count(rejected)} rows could not be used; why, line by line: ${outcome.rejectsFile}\n`,
    );
}

const round = (seconds: number) => Math.round(seconds * 100) / 100;
