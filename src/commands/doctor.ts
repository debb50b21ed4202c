import { Command } from 'commander';
import type { Config } from '../config/schema.ts';
import type { Check } from '../doctor/check.ts';
import { examine, type Report } from '../doctor/doctor.ts';
import { endWithin } from './endWithin.ts';
import { loadSettings } from './settings.ts';

const examples = `
Examples:
  $ chodang doctor
  $ chodang doctor --json | jq '.checks[] | select(.status != "ok")'

It looks at the configuration, Postgres, RabbitMQ, ZooKeeper, the gateway and the failures, and changes nothing: it
declares no queue, takes no message, makes no znode. A server that is away is told as such. It ends with 1 if
something is wrong, else with 0.`;

/** Makes `chodang doctor`, which looks at every part and says what is wrong and what to do about it. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('looks at every part, and says what is wrong and what to do about it; changes nothing')
    .option('--json', 'prints { ok, checks: [{ part, check, status, found, expected?, remedy? }] }')
    .addHelpText('after', examples)
    .action(async ({ json }: { json?: boolean }) => {
      const report = await examine({ settings: readSettings(), environment: process.env['CHODANG_ENV'] });
      process.stdout.write(json ? `${JSON.stringify(report)}\n` : told(report));
      process.exitCode = report.ok ? 0 : 1;
      // A connection to a server that has gone silent must not keep us: what there is to say is said.
      endWithin(1_000);
    });
}

function readSettings(): Config | Error {
  try {
    return loadSettings();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Tells a report to people: one line for each check, and below what isn't well what to do. */
export function told({ checks }: Report): string {
  const width = Math.max(...checks.map(({ part }) => part.length));
  const lines = checks.flatMap((check) => {
    const { status, part } = check;
    const first = `${(status === 'wrong' ? 'WRONG' : status).padEnd(5)}  ${part.padEnd(width)}  ${sentence(check)}\n`;
    return status === 'ok' ? [first] : [first, `${' '.repeat(width + 9)}do: ${check.remedy}\n`];
  });
  return `${lines.join('')}\n${summary(checks)}\n`;
}

function sentence(check: Check): string {
  const found = `${check.check}: ${check.found}`;
  return check.status === 'ok' || check.expected === undefined
    ? found
    : `${found}; expected: ${check.expected}`;
}

function summary(checks: readonly Check[]): string {
  const count = (status: Check['status']) => checks.filter((check) => check.status === status).length;
  const [wrong, warn] = [count('wrong'), count('warn')];
  if (wrong + warn === 0) return `All ${checks.length} checks are well.`;
  return `${wrong} wrong, ${warn} to look at, ${count('ok')} well.`;
}
