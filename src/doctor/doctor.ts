import type { Config } from '../config/schema.ts';
import { type Check, type Finding, type Part, parts, wrong } from './check.ts';
import { configurationFindings } from './configuration.ts';
import { failuresFindings } from './failures.ts';
import { gatewayFindings } from './gateway.ts';
import { postgresFindings } from './postgres.ts';
import { rabbitmqFindings } from './rabbitmq.ts';
import { within } from './within.ts';
import { reasonOf, withoutPasswords } from './words.ts';
import { zookeeperFindings } from './zookeeper.ts';

/** What all parts came to. */
export interface Report {
  /** True if nothing is wrong; there may be warnings. */
  ok: boolean;
  checks: Check[];
}

/** What is looked at. */
export interface Patient {
  /** The settings, or why they can't be had: then nothing else can be looked at. */
  settings: Config | Error;
  /** What the configuration is read for (`CHODANG_ENV`); default: `default`. */
  environment?: string | undefined;
}

const examinations: Record<
  Exclude<Part, 'configuration'>,
  (config: Config, environment: string) => Promise<Finding[]>
> = {
  postgres: postgresFindings,
  rabbitmq: rabbitmqFindings,
  zookeeper: zookeeperFindings,
  gateway: gatewayFindings,
  failures: failuresFindings,
};

const partMs = 15_000;

/**
 * Looks at every part, side by side, and says of each what came and what to do. It changes nothing anywhere.
 *
 * A server that is away is a finding; the others are looked at all the same. No text has a password in it.
 */
export async function examine({ settings, environment = 'default' }: Patient): Promise<Report> {
  const found = await Promise.all(
    parts.map(async (part): Promise<Check[]> => {
      const findings =
        part === 'configuration'
          ? configurationFindings(settings, environment)
          : settings instanceof Error
            ? []
            : await examined(() => examinations[part](settings, environment));
      return findings.map((finding) => ({ part, ...finding }));
    }),
  );
  const checks = found.flat().map(withoutSecrets);
  return { ok: checks.every(({ status }) => status !== 'wrong'), checks };
}

/** One part that can't be looked at must not hide the others. */
async function examined(look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await within(look(), partMs);
  } catch (error) {
    return [
      wrong('the check itself', {
        found: `it broke: ${reasonOf(error)}`,
        remedy: 'look at this part by hand, and tell us: "chodang doctor" has a bug',
      }),
    ];
  }
}

function withoutSecrets(check: Check): Check {
  const found = withoutPasswords(check.found);
  if (check.status === 'ok') return { ...check, found };
  const { expected, remedy, ...rest } = check;
  return {
    ...rest,
    found,
    ...(expected !== undefined && { expected: withoutPasswords(expected) }),
    remedy: withoutPasswords(remedy),
  };
}
