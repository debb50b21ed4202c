import type { Config } from '../config/schema.ts';
import { type Finding, ok, wrong } from './check.ts';

const addresses = [
  ['Postgres', 'CHODANG_POSTGRES_URL', ({ postgres }: Config) => postgres.url],
  ['RabbitMQ', 'CHODANG_RABBITMQ_URL', ({ rabbitmq }: Config) => rabbitmq.url],
  ['ZooKeeper', 'CHODANG_ZOOKEEPER', ({ zookeeper }: Config) => zookeeper.connect],
  ['the TMS gateway', 'CHODANG_TMS_URL', ({ tms }: Config) => tms.url],
] as const;

/** Looks at Node, and whether the settings can be read and say where everything is. */
export function configurationFindings(settings: Config | Error, environment: string): Finding[] {
  return [
    node(process.versions.node),
    ...(settings instanceof Error ? mistakes(settings) : whereAll(settings, environment)),
  ];
}

/** Looks at a version of Node. */
export function node(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return ok('Node', version);
  return wrong('Node', {
    found: version,
    expected: '20.19 or newer',
    remedy: 'install it from https://nodejs.org/en/download',
  });
}

function mistakes(error: Error): Finding[] {
  const problems =
    'problems' in error && Array.isArray(error.problems) ? error.problems.map(String) : [error.message];
  return problems.map((found) =>
    wrong('settings', {
      found,
      remedy: 'correct it in the environment or in config/, and run this again: nothing else was looked at',
    }),
  );
}

function whereAll(config: Config, environment: string): Finding[] {
  const known = addresses.filter(([, , addressOf]) => addressOf(config) !== '');
  const where = known.map(([name, , addressOf]) => `${name} ${addressOf(config)}`).join(', ');
  return [
    ok('settings', `read for CHODANG_ENV=${environment}; ${where || 'no address'}`),
    ...addresses
      .filter((each) => !known.includes(each))
      .map(([name, variable]) =>
        wrong(`address of ${name}`, {
          found: 'nobody said it; this part was not looked at',
          remedy: `set ${variable}, or run "chodang stack up" for servers of your own`,
        }),
      ),
  ];
}
