import { Command, InvalidArgumentError, Option } from 'commander';
import { registered, type SwitchRegistry } from '../../switches/definition.ts';
import type { SwitchChange, SwitchLog, SwitchStatus } from '../../switches/known.ts';
import { openSwitches, type SwitchesStatus } from '../../switches/open.ts';
import { describeRule } from '../../switches/rule.ts';
import type { SwitchPlace } from '../../switches/write.ts';
import { outputOf } from '../output.ts';
import { showHistory } from './history.ts';
import { type PlaceOptions, placeOf, type SwitchSettings } from './place.ts';
import { type SetOptions, setSwitch, versionNumber } from './set.ts';

const examples = `
Examples:
  $ chodang switch list
  $ chodang switch set delay-notice-path 25% --note "ramp after incident 12"
  $ chodang switch set delay-notice-path "legacy=70 actors=30" --dry-run     # whom would it concern?
  $ chodang switch set delay-notice-path off        # all traffic back to the old path, at once
  $ chodang switch history delay-notice-path
  $ chodang switch set delay-notice-path --to 3     # back to what version 3 said
  $ chodang switch watch --json | jq .

A value is one of: on, off, a variant, a percentage (25%, 0.01%), shares (legacy=70 actors=30), or a JSON object
with variants, by, segments, fallback and note. The same works with zkCli: set <root>/switches/<name> 25%`;

const connectWaitMs = 3_000;

function limitOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new InvalidArgumentError('expected a whole number from 1 to 999999');
  return Number(text);
}

/** Makes `chodang switch`, which reads, writes and follows the switches in ZooKeeper. */
export function switchCommand(settings: () => Promise<SwitchSettings>): Command {
  const command = new Command('switch')
    .description('shows and flips the switches, without a deploy')
    .addHelpText('after', examples);

  add('list', 'shows all switches as they are in ZooKeeper now').action(
    (options: PlaceOptions, self: Command) =>
      run(self, async () => {
        const place = placeOf(await settings(), options);
        const { switches, unregistered } = await look(place);
        const rows = Object.keys(place.registry).map((name) => row(name, place.registry, switches[name]));
        if (options.json) return outputOf(self).say(JSON.stringify({ switches: rows, unregistered }));
        for (const each of rows) outputOf(self).say(lineOf(each));
        for (const name of unregistered)
          outputOf(self).say(`${name}: no switch of this name is registered, no effect`);
      }),
  );

  add('get', 'shows one switch', '<NAME>').action((name: string, options: PlaceOptions, self: Command) =>
    run(self, async () => {
      const place = placeOf(await settings(), options);
      registered(place.registry, name);
      const found = row(name, place.registry, (await look(place)).switches[name]);
      outputOf(self).say(options.json ? JSON.stringify(found) : lineOf(found));
    }),
  );

  add('set', 'writes a switch; nonsense is refused before anything is written', '<NAME>', '[VALUE]')
    .option('--note <text>', 'why: kept in the history')
    .option('--by <who>', 'who: kept in the history (default: CHODANG_OPERATOR, or user@host)')
    .option('--to <version>', 'writes again what that version said, instead of VALUE', versionNumber)
    .option('--if-version <version>', 'writes only over this version', versionNumber)
    .option('--dry-run', 'writes nothing, and shows which sellers with open orders would change sides')
    .action((name: string, value: string | undefined, options: SetOptions, self: Command) =>
      run(self, async () => {
        await setSwitch(await settings(), name, value, options, outputOf(self));
      }),
    );

  add('history', 'shows who changed a switch, when and why, the newest first', '<NAME>')
    .option('--limit <n>', 'at most so many versions', limitOf, 50)
    .action((name: string, options: PlaceOptions & { limit: number }, self: Command) =>
      run(self, async () => showHistory(await settings(), name, options, outputOf(self))),
    );

  add('watch', 'shows all switches and then each change, until interrupted').action(
    (options: PlaceOptions, self: Command) =>
      run(self, async () => {
        const onChange = (change: SwitchChange) =>
          outputOf(self).say(
            options.json ? JSON.stringify({ at: new Date(), ...plain(change) }) : told(change),
          );
        const switches = await openSwitches({
          ...placeOf(await settings(), options),
          log: silent,
          connectWaitMs,
          onChange,
        });
        await interrupted();
        await switches.close();
      }),
  );
  return command;

  function add(name: string, description: string, ...args: string[]): Command {
    return command
      .command([name, ...args].join(' '))
      .description(description)
      .addOption(
        new Option('--zookeeper <host:port,…>', 'the ZooKeeper servers (default: as configured)').env(
          'CHODANG_ZOOKEEPER',
        ),
      )
      .addOption(
        new Option('--root <path>', 'the root in ZooKeeper (default: as configured)').env(
          'CHODANG_ZOOKEEPER_ROOT',
        ),
      )
      .option('--json', 'prints JSON')
      .addHelpText('after', examples);
  }
}

async function run(self: Command, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    self.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function look(place: SwitchPlace): Promise<SwitchesStatus> {
  const switches = await openSwitches({ ...place, log: silent, connectWaitMs });
  const status = switches.status();
  await switches.close();
  if (status.connected) return status;
  const why = status.lastError ?? `no answer within ${connectWaitMs / 1000} s`;
  throw new Error(`ZooKeeper can't be reached (${why}). Is it running?`);
}

/** What this process says of the switches goes to the terminal as the command's own output. */
const silent: SwitchLog = { info: () => {}, warn: () => {}, error: () => {} };

interface Row {
  name: string;
  raw: string | null;
  means: string;
  version: number | null;
  changedAt: Date | null;
  error: string | null;
}

function row(name: string, registry: SwitchRegistry, status: SwitchStatus | undefined): Row {
  const { raw = null, version = null, changedAt = null, error = null } = status ?? {};
  const fallback = `${registry[name]?.fallback} (the fallback)`;
  const means = status?.applied ? describeRule(status.applied.rule) : fallback;
  return { name, raw, means, version, changedAt, error };
}

function lineOf({ name, raw, means, version, changedAt, error }: Row): string {
  if (raw === null) return `${name}: not set: ${error ?? means}`;
  const written = `version ${version}, ${changedAt?.toISOString()}`;
  if (error !== null) {
    return `${name}: ${raw} CAN'T BE USED: ${error} (${written}); running processes keep the last good value`;
  }
  return raw === means ? `${name}: ${raw} (${written})` : `${name}: ${raw} → ${means} (${written})`;
}

function told(change: SwitchChange): string {
  return `${new Date().toISOString()} ${sentence(change)}`;
}

function sentence(change: SwitchChange): string {
  if (change.kind === 'connected') return 'up to date';
  if (change.kind === 'away') return `ZooKeeper is away: ${change.error}`;
  if (change.kind === 'absent') return `${change.name}: not set, the fallback applies`;
  const { name, raw, version } = change;
  if (change.kind === 'malformed')
    return `${name}: ${raw} CAN'T BE USED: ${change.error} (version ${version})`;
  return `${name}: ${raw} → ${describeRule(change.rule)} (version ${version})`;
}

function plain(change: SwitchChange): object {
  if (change.kind === 'malformed') {
    const { kind, name, raw, version, error } = change;
    return { kind, name, raw, version, error };
  }
  if (change.kind !== 'value') return change;
  const { kind, name, raw, version, rule } = change;
  return { kind, name, raw, version, means: describeRule(rule) };
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
