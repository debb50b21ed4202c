import { Command, Option } from 'commander';
import { migrate } from '../store/migrate.ts';
import {
  addOperator,
  listOperators,
  type OperatorRole,
  operatorRoles,
  revokeOperator,
} from '../store/operators.ts';
import { outputOf } from './output.ts';
import { whoAmI } from './who.ts';
import { withStore } from './withStore.ts';

const examples = `
Examples:
  $ chodang operator add kim --role operator
  $ OPERATOR_KEY=$(chodang operator add dashboard --role reader --json | jq -r .key)
  $ chodang operator revoke kim

A key is shown this once; we keep only its hash. It is for /v1/failed of the API: a reader sees failed messages, with
personal data masked; an operator retries, edits and discards them, and may see personal data, which is recorded.`;

/** Makes `chodang operator`, which lets developers use the API for failed messages. */
export function operatorCommand(): Command {
  const command = new Command('operator')
    .description('lets developers look after failed messages over HTTP')
    .addHelpText('after', examples);

  add('add', 'makes a key')
    .argument('<name>', 'who: stands in the history')
    .addOption(new Option('--role <role>', 'what they may do').choices(operatorRoles).makeOptionMandatory())
    .action(async (name: string, { role, json }: { role: OperatorRole; json?: boolean }, self: Command) => {
      checkName(name);
      await withStore(async (store) => {
        await migrate(store);
        const key = await addOperator(store, { name, role }, whoAmI());
        outputOf(self).say(
          json
            ? JSON.stringify({ name, role, key })
            : `${name} (${role}) has the key ${key}\nIt is shown this once.`,
        );
      });
    });

  add('list', 'lists who has a key').action(({ json }: { json?: boolean }, self: Command) =>
    withStore(async (store) => {
      const { say } = outputOf(self);
      const all = await listOperators(store);
      for (const each of all) {
        const { name, role, createdAt, revokedAt } = each;
        const since = revokedAt === null ? '' : `, revoked ${revokedAt.toISOString()}`;
        say(json ? JSON.stringify(each) : `${name}  ${role}  since ${createdAt.toISOString()}${since}`);
      }
      if (all.length === 0 && !json) say('Nobody has a key.');
    }),
  );

  add('revoke', 'takes all keys of somebody back, at once')
    .argument('<name>', 'who')
    .action((name: string, { json }: { json?: boolean }, self: Command) =>
      withStore(async (store) => {
        const keys = await revokeOperator(store, name, whoAmI());
        if (keys === 0) throw new Error(`${name} has no key: "chodang operator list" shows who has.`);
        outputOf(self).say(
          json ? JSON.stringify({ name, revoked: keys }) : `${keys} key(s) of ${name} are revoked.`,
        );
      }),
    );
  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .option('--json', 'prints JSON')
      .addHelpText('after', examples);
  }
}

function checkName(name: string): void {
  if (!/^[\w.@-]{1,100}$/.test(name))
    throw new Error(
      `Expected a name of 1 to 100 letters, digits and . _ @ -, got ${JSON.stringify(name.slice(0, 120))}.`,
    );
}
