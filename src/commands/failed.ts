import { Command, InvalidArgumentError } from 'commander';
import { type FailureGroup, listFailureGroups } from '../store/failureGroups.ts';
import { listFailures, type RecordedFailure } from '../store/failures.ts';
import { withStore } from './withStore.ts';

const examples = `
Examples:
  $ chodang failed groups                     # what fails, how often, since when, and whom it concerns
  $ chodang failed list --group 12
  $ chodang failed list --limit 1000 --json | jq -r .errorMessage`;

interface Options {
  limit: number;
  json?: boolean;
}

/** Makes `chodang failed`, which shows the messages that the steps gave up. */
export function failedCommand(): Command {
  const command = new Command('failed').description('shows failed messages').addHelpText('after', examples);

  add('list', 'lists failed messages, the newest first')
    .option('--group <id>', 'only those of one group', groupOf)
    .action(({ limit, json, group }: Options & { group?: string }) =>
      withStore(async (store) => {
        const failures = await listFailures(store, {
          limit,
          ...(group !== undefined && { groupId: group }),
        });
        for (const failure of failures) print(json ? jsonOf(failure) : lineOf(failure));
        if (failures.length === 0 && !json)
          print(group === undefined ? 'No message has failed.' : `No message of group ${group} has failed.`);
      }),
    );

  add(
    'groups',
    'lists what failed alike as one: same step, error, place and message, those that failed last first',
  ).action(({ limit, json }: Options) =>
    withStore(async (store) => {
      const groups = await listFailureGroups(store, { limit });
      for (const group of groups) print(json ? JSON.stringify(group) : groupLineOf(group));
      if (groups.length === 0 && !json) print('No message has failed.');
    }),
  );
  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .option('--limit <n>', 'at most so many', limitOf, 50)
      .option('--json', 'prints one JSON object per line')
      .addHelpText('after', examples);
  }
}

function limitOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new InvalidArgumentError('expected a whole number from 1 to 999999.');
  return Number(text);
}

function groupOf(text: string): string {
  if (!/^[1-9]\d{0,17}$/.test(text))
    throw new InvalidArgumentError('expected the number of a group, as "chodang failed groups" shows it.');
  return text;
}

const print = (line: string) => process.stdout.write(`${line}\n`);

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

const groupLineOf = ({
  groupId,
  state,
  step,
  failures,
  orders,
  notices,
  sellers,
  firstFailedAt,
  lastFailedAt,
  ...kind
}: FailureGroup) =>
  `${groupId}  ${state}  ${step}  ${failures} message(s): ${orders} order(s), ${notices} notice(s), ` +
  `${sellers} seller(s)  ${firstFailedAt.toISOString()} to ${lastFailedAt.toISOString()}  ` +
  `${kind.errorClass}: ${kind.message}${kind.frame === null ? '' : `  in ${kind.frame}`}`;
