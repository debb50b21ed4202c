import { Command, InvalidArgumentError } from 'commander';
import { burst } from './burst.ts';
import { type FailurePart, failureParts, failures } from './failures.ts';
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

interface Options {
  orders: number;
  runs: number;
  bare?: boolean;
  offered: number;
  messages: number;
  rows: number;
  retries: number;
  only?: FailurePart[];
  json?: boolean;
}

const scenarios = { burst, failures, singles, switches };

const program = new Command('bench')
  .description('measures Chodang on real servers of its own, on this machine; prints medians')
  .argument('<scenario>', `one of: ${Object.keys(scenarios).join(', ')}`)
  .option('--orders <n>', 'burst, singles: orders in a run', wholeNumber, 30_000)
  .option('--runs <n>', 'measured runs, after one that only warms up', wholeNumber, 5)
  .option(
    '--offered <n>',
    'singles: how many notices a second are offered, for as many as there is room for',
    wholeNumber,
    20_000,
  )
  .option('--bare', 'burst: also measures, in turn, a bare process of the same design (bench/bare.ts)')
  .option('--messages <n>', 'failures: failed messages that are recorded in a run', wholeNumber, 100_000)
  .option('--rows <n>', 'failures: how many there are while pages are read', wholeNumber, 1_000_000)
  .option('--retries <n>', 'failures: failed messages that are retried in a run', wholeNumber, 10_000)
  .option('--only <parts>', `failures: some of ${failureParts.join(',')} (default: all)`, someParts)
  .option('--json', 'prints one JSON object last')
  .addHelpText(
    'after',
    '\nExamples:\n  $ npm run bench -- burst --orders 30000 --bare --json\n  $ npm run bench -- switches --json\n' +
      '  $ npm run bench -- failures --json\n  $ npm run bench -- failures --only pages --rows 100000',
  )
  .action(async (name: string, { json, ...options }: Options) => {
    const scenario = scenarios[name as keyof typeof scenarios];
    if (!scenario)
      throw new InvalidArgumentError(`there is no scenario "${name}": ${Object.keys(scenarios).join(', ')}`);
    const result = await scenario({ ...options, say });
    process.stdout.write(`${json ? JSON.stringify(result) : JSON.stringify(result, null, 2)}\n`);
  });

await program.parseAsync();
