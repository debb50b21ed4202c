import { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { type StackStatus, stackDown, stackStatus, stackUp } from '../stack/stack.ts';
import { zkCli } from '../stack/zookeeper.ts';

interface Options {
  name: string;
  json?: boolean;
  wipe?: boolean;
}

const examples = `
Examples:
  $ chodang stack up
  $ psql "$(chodang stack status --json | jq -r .postgres.url)"
  $ chodang stack down

A server whose address is configured (CHODANG_POSTGRES_URL, CHODANG_RABBITMQ_URL, CHODANG_ZOOKEEPER,
CHODANG_TMS_URL, or in config/) is used as it is and not started here. "status" ends with 0 if all are up, else
with 1.`;

/** Makes `chodang stack`, which starts, stops and shows the servers of this machine that we need. */
export function stackCommand(): Command {
  const command = new Command('stack')
    .description('starts and stops Postgres, RabbitMQ, ZooKeeper and the TMS simulator on this machine')
    .addHelpText('after', examples);

  add('up', 'starts what is not up yet, installs what is missing, and shows where it is').action(
    async ({ name, json }: Options) => {
      show(await stackUp({ name, env: stackEnvironment(), log: sayOnTerminal }), json);
    },
  );

  add('down', 'stops all of it; the data stays')
    .option('--wipe', 'deletes its data too: the next "up" begins with empty servers')
    .action(async ({ name, json, wipe }: Options) => {
      await stackDown({ name, wipe });
      process.stdout.write(json ? '{}\n' : `The stack is down${wipe ? ', and its data deleted' : ''}.\n`);
    });

  add('status', 'shows where each server is, and whether it is up').action(
    async ({ name, json }: Options) => {
      const status = await stackStatus({ name, env: stackEnvironment() });
      show(status, json);
      const all = [status.postgres.url, status.rabbitmq.url, status.zookeeper.connect, status.tms.url];
      if (all.includes(null)) process.exitCode = 1;
    },
  );

  return command;

  function add(name: string, description: string): Command {
    return command
      .command(name)
      .description(description)
      .option('--name <name>', 'which stack of this clone', 'local')
      .option('--json', 'prints one JSON object')
      .addHelpText('after', `\nExample:\n  $ chodang stack ${name}`);
  }
}

/** Gives the environment in which the stack looks for addresses: that of the process, completed with those of `config/`. */
export function stackEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { postgres, rabbitmq, zookeeper, tms } = loadConfig({ env });
  return {
    ...env,
    CHODANG_POSTGRES_URL: postgres.url,
    CHODANG_RABBITMQ_URL: rabbitmq.url,
    CHODANG_ZOOKEEPER: zookeeper.connect,
    CHODANG_ZOOKEEPER_ROOT: zookeeper.root,
    CHODANG_TMS_URL: tms.url,
  };
}

function show(status: StackStatus, json = false): void {
  process.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : told(status));
}

function told({ postgres, rabbitmq, zookeeper, tms }: StackStatus): string {
  const lines: [string, string | null][] = [
    ['Postgres', postgres.url],
    ['RabbitMQ', rabbitmq.url],
    ...(rabbitmq.managementUrl ? [['  its page', rabbitmq.managementUrl] as [string, string]] : []),
    ['ZooKeeper', zookeeper.connect && `${zookeeper.connect} (our root: ${zookeeper.root})`],
    ...(zookeeper.connect
      ? [['  its shell', `${zkCli} -server ${zookeeper.connect}`] as [string, string]]
      : []),
    ['TMS simulator', tms.url],
  ];
  return lines.map(([name, where]) => `${name.padEnd(14)} ${where ?? 'down'}\n`).join('');
}

function sayOnTerminal(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${line} …\n`);
}
