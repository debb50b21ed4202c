import { Command, InvalidArgumentError, Option } from 'commander';
import { mostConsumers } from '../../pipeline/override.ts';
import { outputOf } from '../output.ts';
import { versionNumber } from '../switch/set.ts';
import { type ChangeOptions, pause, resume, set, unset } from './change.ts';
import { history } from './history.ts';
import { show } from './show.ts';

const examples = `
Examples:
  $ chodang pipeline show
  $ chodang pipeline set tms.bulk --max 8 --note "rush"      # at once, in every process, without a restart
  $ chodang pipeline unset tms.bulk                          # back to the configuration
  $ chodang pipeline pause tms --note "the gateway is being moved"
  $ chodang pipeline resume tms
  $ chodang pipeline history tms.bulk

The same works with zkCli: set <root>/pipeline/tms.bulk '{"max":8,"note":"rush"}'
Limits are those of one process: with three processes, --max 8 allows 24 consumers.`;

/** Makes `chodang pipeline`, which shows the steps' lanes, and overrules their configuration while processes run. */
export function pipelineCommand(): Command {
  const command = new Command('pipeline')
    .description('shows the lanes of the steps, gives them more or fewer consumers, pauses and resumes them')
    .addHelpText('after', examples);

  add('show', 'shows what waits in each lane, how many consume it, and within which limits').action(
    async (options: { json?: boolean }, self: Command) => {
      if (!(await show(options, outputOf(self)))) process.exitCode = 1;
    },
  );

  changing('set', '<step.lane>', 'sets how many consumers a lane has at least and at most, in each process')
    .option('--min <n>', `at least so many, 1 to ${mostConsumers}`, consumersOf)
    .option(
      '--max <n>',
      `at most so many, 1 to ${mostConsumers}; they follow the load in between`,
      consumersOf,
    )
    .option('--note <text>', 'why: others see it, and it is kept in the history')
    .action((name: string, options: ChangeOptions & { min?: number; max?: number }, self: Command) =>
      set(name, options, outputOf(self)),
    );

  changing('pause', '<step[.lane]>', 'consumes nothing more: messages wait in their queue, none is lost')
    .requiredOption('--note <text>', 'why: others see it, and it is kept in the history')
    .action((name: string, options: ChangeOptions, self: Command) => pause(name, options, outputOf(self)));

  changing(
    'resume',
    '<step[.lane]>',
    'consumes again; of a step also those lanes that were paused by themselves',
  )
    .option('--note <text>', 'why: kept in the history')
    .action((name: string, options: ChangeOptions, self: Command) => resume(name, options, outputOf(self)));

  changing(
    'unset',
    '<step[.lane]>',
    'takes back what was set, a pause included: the configuration holds again',
  )
    .option('--note <text>', 'why: kept in the history')
    .action((name: string, options: ChangeOptions, self: Command) => unset(name, options, outputOf(self)));

  add('history', 'shows who set, paused or resumed what, when and why, the newest first')
    .argument('[step[.lane]]')
    .option('--limit <n>', 'at most so many', limitOf, 50)
    .action((name: string | undefined, options: { limit: number; json?: boolean }, self: Command) =>
      history(name, options, outputOf(self)),
    );
  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .option('--json', 'prints JSON')
      .addHelpText('after', examples);
  }

  function changing(name: string, argument: string, description: string): Command {
    const made = add(name, description)
      .argument(argument)
      .addOption(new Option('--by <who>', 'who (default: CHODANG_OPERATOR, or user@host)'));
    // It may write several znodes.
    if (name === 'resume') return made;
    return made.option('--if-version <version>', 'writes only over this version of the znode', versionNumber);
  }
}

function consumersOf(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > mostConsumers)
    throw new InvalidArgumentError(`expected a whole number from 1 to ${mostConsumers}`);
  return Number(text);
}

function limitOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new InvalidArgumentError('expected a whole number from 1 to 999999');
  return Number(text);
}
