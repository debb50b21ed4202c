import { Command, Option } from 'commander';
import { outputOf } from '../output.ts';
import { whoAmI } from '../who.ts';
import { discard, undo } from './discard.ts';
import { edit } from './edit.ts';
import { groups, history, list, show } from './look.ts';
import { countOf, limitOf, numberOf, numbersOf, rateOf, stateOf } from './parse.ts';
import { cancel, retry, watch } from './retry.ts';

const examples = `
Examples:
  $ chodang failed groups                                # what fails, how often, since when, and whom it concerns
  $ chodang failed list --group 12
  $ chodang failed show 17
  $ chodang failed retry --group 12 --up-to 5123 --dry-run
  $ chodang failed retry --group 12 --up-to 5123 --canary 1 --rate 100/s --stop-after 5 --why "fixed in 1.4"
  $ chodang failed retry 17 18 --path legacy --why "the new path can't do these"
  $ chodang failed edit 17
  $ chodang failed discard 17 --reason "a test order"
  $ chodang failed history`;

/** Makes `chodang failed`, which shows the messages that the steps gave up, and puts them right. */
export function failedCommand(): Command {
  const command = new Command('failed')
    .description('shows failed messages, and retries, edits or discards them')
    .addHelpText('after', examples);

  add('groups', 'lists what failed alike as one: same step, error, place and message')
    .option('--limit <n>', 'at most so many', limitOf, 50)
    .option('--all', 'also those of which nothing is open')
    .action((options, self: Command) => groups(options, outputOf(self)));

  add('list', 'lists failed messages, the newest first, with personal data masked')
    .option('--group <id>', 'only those of one group', numberOf)
    .option('--state <state>', 'open, retrying, resolved, failed-again, discarded or all', stateOf, 'open')
    .option('--before <id>', 'only those before this one: the next page', numberOf)
    .option('--limit <n>', 'at most so many', limitOf, 50)
    .action((options, self: Command) => list(options, outputOf(self)));

  add('show', 'shows one failed message with its error, headers and body, personal data masked')
    .argument('<id>', 'the number of the failure', numberOf)
    .option('--reveal', 'shows personal data as well; kept in the history')
    .option('--why <text>', 'why you need to see it; needed for --reveal')
    .addOption(byOption())
    .action((id: string, options, self: Command) => show(id, options, outputOf(self)));

  choosing(
    add(
      'retry',
      'gives failed messages back to their step: one first, then the rest, unless they fail again',
    ),
  )
    .option('--canary <n>', 'so many first, and no more until all of them succeeded', countOf(0), 1)
    .option('--rate <rate>', 'how many after that, such as 100/s or 30/min; all: at once', rateOf, 100)
    .option('--stop-after <n>', 'stops when so many failed again', countOf(1), 5)
    .addOption(new Option('--path <path>', 'hands them to the old path instead').choices(['legacy']))
    .option('--dry-run', 'changes nothing, and says for each what would happen')
    .option('--no-wait', 'does not wait for the end')
    .option('--why <text>', 'why: kept in the history')
    .addOption(byOption())
    .action((ids: string[] | undefined, options, self: Command) => retry(ids, options, outputOf(self)));

  add(
    'edit',
    'changes a failed message in $EDITOR, shows the difference, and retries it; the original is kept',
  )
    .argument('<id>', 'the number of the failure', numberOf)
    .option('--file <file>', 'takes the message from a file instead; - is standard input')
    .option('--dry-run', 'only checks it, and shows the difference')
    .option('--yes', 'does not ask')
    .option('--no-wait', 'does not wait for the end')
    .option('--why <text>', 'why: kept in the history')
    .addOption(byOption())
    .action((id: string, options, self: Command) => edit(id, options, outputOf(self)));

  choosing(add('discard', 'gives failed messages up: their orders stay failed'))
    .requiredOption('--reason <text>', 'why: kept in the history')
    .addOption(byOption())
    .action((ids: string[] | undefined, options, self: Command) => discard(ids, options, outputOf(self)));

  add('undo', 'takes a discard back, as long as failures.undoDays allows')
    .argument('<operation>', 'the number of the discard', numberOf)
    .option('--why <text>', 'why: kept in the history')
    .addOption(byOption())
    .action((id: string, options, self: Command) => undo(id, options, outputOf(self)));

  add('cancel', 'ends a retry: what was not sent is open again')
    .argument('<operation>', 'the number of the retry', numberOf)
    .option('--sent', 'what was sent and has not ended too: RabbitMQ may have lost it')
    .option('--why <text>', 'why: kept in the history')
    .addOption(byOption())
    .action((id: string, options, self: Command) => cancel(id, options, outputOf(self)));

  add('watch', 'follows a retry until it has ended')
    .argument('<operation>', 'the number of the retry', numberOf)
    .action((id: string, options, self: Command) => watch(id, options, outputOf(self)));

  add(
    'history',
    'shows who did what with failed messages, when and why; with a number, that one and its failures',
  )
    .argument('[operation]', 'the number of an operation', numberOf)
    .option('--failure <id>', 'only what was done with this failure', numberOf)
    .option('--limit <n>', 'at most so many', limitOf, 50)
    .action((id: string | undefined, options, self: Command) => history(id, options, outputOf(self)));
  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .option('--json', 'prints JSON, one object per line')
      .addHelpText('after', examples);
  }
}

const byOption = () =>
  new Option('--by <who>', 'who: kept in the history (default: CHODANG_OPERATOR, or user@host)').default(
    undefined,
    whoAmI(),
  );

/** Adds what chooses failures: their numbers, or a group as it was seen. */
const choosing = (command: Command) =>
  command
    .argument('[ids...]', 'numbers of failures', numbersOf)
    .option('--group <id>', 'those of a group that are open …', numberOf)
    .option(
      '--up-to <id>',
      '… and not later than this, the last you saw: "chodang failed groups" shows it',
      numberOf,
    );
