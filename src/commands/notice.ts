import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { Command, Option } from 'commander';
import { type ClientOptions, postNotice, readNotice, type ToldProgress } from '../http/client.ts';
import { reasonCodes } from '../rules/notice.ts';
import { type ImportOptions, importFile } from './noticeImport.ts';
import { count } from './progress.ts';
import { loadSettings } from './settings.ts';

interface Options {
  sellerKey: string;
  url?: string;
  json?: boolean;
}

interface PostOptions extends Options {
  reason: string;
  date: string;
  detail?: string;
  orders: string[];
  idempotencyKey?: string;
}

const examples = `
Examples:
  $ export SELLER_KEY=$(chodang seller add farm-17 --json | jq -r .apiKey)
  $ chodang notice post --reason WEATHER --date 2026-12-01 --orders A-1 A-2 A-3
  $ chodang notice post --reason ETC --detail "the truck broke down" --date 2026-12-01 --orders late-orders.txt
  $ chodang notice import late-orders.csv.gz --rejects bad-rows.csv
  $ chodang notice show 019ab0f0-5d1e-7cc3-98c4-3b7d1d9a4f11

A file of orders has one order id per line; a first line "order_id" is left out. A file to import is a CSV whose first
line names its columns order_id,new_ship_date,reason,detail, or has one JSON object per line; of any size, gzipped or
not. Ends with 0 if the API did what it was asked, else with 1; an import of which rows could not be used with 2.`;

/** Makes `chodang notice`, which posts delay notices over HTTP as sellers do, and shows what became of them. */
export function noticeCommand(): Command {
  const command = new Command('notice')
    .description('posts a delay notice as a seller does, and shows how far it is')
    .addHelpText('after', examples);

  add('post', 'posts a notice; 202 means that it is stored and will settle')
    .addOption(new Option('--reason <code>', 'why').choices(reasonCodes).makeOptionMandatory())
    .requiredOption('--date <day>', 'when the orders will ship, as 2026-12-01')
    .option('--detail <text>', 'what customers read as well; needed for ETC')
    .requiredOption('--orders <ids...>', 'order ids, or files with one per line; - is standard input')
    .option('--idempotency-key <key>', 'to repeat a request that may have been stored (default: a new one)')
    .action(async (options: PostOptions) => {
      const { reason, date: newShipDate, detail, idempotencyKey = randomUUID() } = options;
      const orderIds = options.orders.flatMap(orderIdsOf);
      const accepted = await postNotice(
        { ...clientOptions(options), idempotencyKey },
        { reason, detail, newShipDate, orderIds },
      );
      const { noticeId, path, orders, duplicates } = accepted;
      const repeats = duplicates > 0 ? ` (${count(duplicates)} repeats left out)` : '';
      process.stdout.write(
        options.json
          ? `${JSON.stringify(accepted)}\n`
          : `Notice ${noticeId} is accepted: ${count(orders)} orders${repeats}, path ${path}.\n` +
              `How far it is: chodang notice show ${noticeId}\n`,
      );
    });

  add(
    'import',
    'sends a file of orders, each with its own date and reason, as one notice; - is standard input',
  )
    .argument('<file>', 'CSV or NDJSON; gzipped if its name ends in .gz')
    .addOption(new Option('--format <format>', 'default: by the name, else csv').choices(['csv', 'ndjson']))
    .option('--rejects <file>', "where rows that can't be used are written, as CSV")
    .option('--wait', 'waits until all orders have settled')
    .option(
      '--idempotency-key <key>',
      "to go on with a file that broke off (default: made of the file's content)",
    )
    .action((file: string, options: Options & ImportOptions) =>
      importFile(file, clientOptions(options), options),
    );

  add('show', 'shows how far a notice is')
    .argument('<id>', 'the id of the notice')
    .action(async (noticeId: string, options: Options) => {
      const progress = await readNotice(clientOptions(options), noticeId);
      process.stdout.write(options.json ? `${JSON.stringify(progress)}\n` : told(progress));
    });

  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .addOption(
        new Option('--seller-key <key>', "the seller's API key").env('SELLER_KEY').makeOptionMandatory(),
      )
      .option('--url <url>', 'where the API is (default: as configured)')
      .option('--json', 'prints what the API answers')
      .addHelpText('after', examples);
  }
}

function clientOptions({ url, sellerKey }: Options): ClientOptions {
  if (!/^[\x21-\x7e]{1,500}$/.test(sellerKey))
    throw new Error('The API key of the seller has blanks or characters that no key has.');
  if (url !== undefined && !URL.canParse(url))
    throw new Error(`Expected --url like http://127.0.0.1:8080, got ${url}.`);
  return { url: url ?? configuredUrl(), apiKey: sellerKey };
}

function configuredUrl(): string {
  const { host, port } = loadSettings().http;
  if (port === 0) throw new Error('The API takes any free port (http.port is 0): say which one with --url.');
  return `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;
}

/** A file's lines if there is a file of that name, else the id itself. */
function orderIdsOf(given: string): string[] {
  if (given !== '-' && (statSync(given, { throwIfNoEntry: false })?.isDirectory() ?? true)) return [given];
  const lines = readFileSync(given === '-' ? 0 : given, 'utf8')
    .replace(/^\ufeff/, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return lines[0] === 'order_id' ? lines.slice(1) : lines;
}

function told({
  noticeId,
  state,
  path,
  orders,
  duplicates,
  counts,
  rejectReasons,
  ...times
}: ToldProgress): string {
  const lines: [string, string][] = [
    ['notice', noticeId],
    ['state', state],
    ['path', path],
    ['orders', `${count(orders)}${duplicates > 0 ? ` (and ${count(duplicates)} repeats)` : ''}`],
    ...Object.entries(counts).map(([name, n]): [string, string] => [`  ${name}`, count(n)]),
    ...Object.entries(rejectReasons).map(([reason, n]): [string, string] => [`    ${reason}`, count(n)]),
    ['accepted', times.acceptedAt],
    ['settled', times.settledAt ?? 'not yet'],
  ];
  return lines.map(([name, value]) => `${name.padEnd(24)}${value}\n`).join('');
}
