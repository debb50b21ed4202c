import { Command, InvalidArgumentError } from 'commander';
import { burst } from './burst.ts';
import { switches } from './switches.ts';

const wholeNumber = (text: string) => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number of at least 1');
  return Number(text);
};

const say = (line: string) => process.stderr.write(`${line}\n`);

interface Options {
  orders: number;
  runs: number;
  bare?: boolean;
  json?: boolean;
}

const scenarios = { burst, switches };

const program = new Command('bench')
  .description('measures Chodang on real servers of its own, on this machine; prints medians')
  .argument('<scenario>', `one of: ${Object.keys(scenarios).join(', ')}`)
  .option('--orders <n>', 'burst: orders in a run', wholeNumber, 30_000)
  .option('--runs <n>', 'measured runs, after one that only warms up', wholeNumber, 5)
  .option('--bare', 'burst: also measures, in turn, a bare process of the same design (bench/bare.ts)')
  .option('--json', 'prints one JSON object last')
  .addHelpText(
    'after',
    '\nExamples:\n  $ npm run bench -- burst --orders 30000 --bare --json\n  $ npm run bench -- switches --json',
  )
  .action(async (name: string, { orders, runs, bare, json }: Options) => {
    const scenario = scenarios[name as keyof typeof scenarios];
    if (!scenario)
      throw new InvalidArgumentError(`there is no scenario "${name}": ${Object.keys(scenarios).join(', ')}`);
    const result = await scenario({ orders, runs, bare, say });
    process.stdout.write(`${json ? JSON.stringify(result) : JSON.stringify(result, null, 2)}\n`);
  });

await program.parseAsync();
