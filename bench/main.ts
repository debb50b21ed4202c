import { Command, InvalidArgumentError, Option } from 'commander';
import { burst } from './burst.ts';
import { failureParts, failures } from './failures.ts';
import { feed } from './feed.ts';
import { floor } from './floor.ts';
import { growth } from './growth.ts';
import { million, mixed } from './million.ts';
import { overload } from './overload.ts';
import { peers } from './peers.ts';
import { singles } from './singles.ts';
import { switches } from './switches.ts';

const wholeNumber = (text: string) => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number of at least 1');
  return Number(text);
};

const someParts = (text: string) =>
  text.split(',').map((name) => {
    const part = failureParts.find((each) => each === name);
    if (!part) throw new InvalidArgumentError(`expected some of ${failureParts.join(',')}`);
    return part;
  });

const say = (line: string) => process.stderr.write(`${line}\n`);

const program = new Command('bench').description(
  'Measures Chodang on real servers of its own, on this machine; prints medians. See docs/benchmarks.md.',
);

/** Adds a scenario, with the options that it has beside those that all have. */
function scenario(
  name: string,
  description: string,
  options: readonly Option[],
  measure: (options: never) => Promise<object>,
): void {
  const command = program.command(name).description(description);
  for (const option of options) command.addOption(option);
  command
    .addOption(number('--runs', 'measured runs, after what warms up', 5))
    .option('--json', 'prints one JSON object last')
    .action(async ({ json, ...given }: { json?: boolean }) => {
      const result = await measure({ ...given, say } as never);
      process.stdout.write(`${json ? JSON.stringify(result) : JSON.stringify(result, null, 2)}\n`);
    });
}

const number = (name: string, description: string, value: number) =>
  new Option(`${name} <n>`, description).argParser(wholeNumber).default(value);
const workers = new Option('--workers <n>', 'worker processes').argParser(wholeNumber);
const parallel = number('--parallel', 'batches at once in the floor', 4);

scenario(
  'floor',
  'the SQL of a notice by itself: no RabbitMQ, no HTTP, no gateway',
  [number('--orders', 'orders in a run', 50_000), parallel],
  floor,
);
scenario(
  'burst',
  'one notice for many orders, until all are notified; in turn with the floor',
  [
    number('--orders', 'orders in a run', 50_000),
    parallel,
    new Option('--bare', 'in turn also with a bare process of the same design (bench/bare.ts)'),
  ],
  burst,
);
scenario(
  'singles',
  'notices of one order each from 1,000 sellers: as many as there is room for, and a steady 5,000 a second',
  [
    number('--orders', 'orders in a run of as many as there is room for', 100_000),
    number('--offered', 'how many notices a second are offered then', 12_000),
    workers,
  ],
  singles,
);
scenario(
  'overload',
  'more than there is room for, behind a slow gateway and in requests: memory, and that nothing is lost',
  [
    number('--seconds', 'how long each lasts', 120),
    number('--offered', 'how many orders a second are offered, in lists, while the gateway is slow', 20_000),
    number('--requests', 'how many notices of one order a second are offered', 12_000),
    new Option('--only <kind>', 'one of the two').choices(['slowGateway', 'manyRequests']),
  ],
  overload,
);
const rows = number('--orders', 'rows of the file', 1_000_000);
scenario('million', 'an import of many rows, until all are notified', [rows, workers], million);
scenario('mixed', 'the same with 500 notices of one order a second beside it', [rows], mixed);
scenario(
  'feed',
  "events of the shop's orders from RabbitMQ into Postgres",
  [
    number('--events', 'events in a run', 100_000),
    new Option('--length <n>', 'events in a message (default: 1, 10, 100, 1000 in turn)').argParser(
      wholeNumber,
    ),
  ],
  feed,
);
scenario(
  'peers',
  'the same three steps on BullMQ, pg-boss, Graphile Worker and the legacy path',
  [number('--orders', 'orders in a run in chunks of 500', 30_000)],
  peers,
);
scenario(
  'growth',
  'how the cost of an order grows with what is in the tables, with sellers and with notices',
  [number('--rows', 'the most orders in the table', 10_000_000)],
  growth,
);
scenario(
  'switches',
  'an evaluation of a switch, and how quickly a flip reaches four processes',
  [],
  switches,
);
scenario(
  'failures',
  'recording, listing and retrying failed messages',
  [
    number('--messages', 'failed messages that are recorded in a run', 100_000),
    number('--rows', 'how many there are while pages are read', 1_000_000),
    number('--retries', 'failed messages that are retried in a run', 10_000),
    new Option('--only <parts>', `some of ${failureParts.join(',')} (default: all)`).argParser(someParts),
  ],
  failures,
);

await program.parseAsync();
