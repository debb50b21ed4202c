import { once } from 'node:events';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Config } from '../config/schema.ts';
import { addressesOf, toldAddresses } from '../demo/addresses.ts';
import { isFree } from '../demo/port.ts';
import { type Ran, runOnce } from '../demo/run.ts';
import { tableOf } from '../demo/summary.ts';
import { toldSoFar } from '../demo/told.ts';
import { makeZnode } from '../demo/znode.ts';
import { openLog } from '../log.ts';
import { startProcess } from '../process.ts';
import { stackUp } from '../stack/stack.ts';
import { zkCli } from '../stack/zookeeper.ts';
import { migrate } from '../store/migrate.ts';
import { openStore } from '../store/store.ts';
import { endWithin } from './endWithin.ts';
import { shopOf } from './orders.ts';
import { count, showProgress } from './progress.ts';
import { loadSettings, requireUrls } from './settings.ts';
import { stackEnvironment } from './stack.ts';

interface Options {
  exit?: boolean;
  orders?: string;
  size: number;
  json?: boolean;
}

const examples = `
Examples:
  $ chodang demo                                # 100,000 orders, a notice for 30,000 of them; then keeps running
  $ chodang demo --exit --json | jq .outcome
  $ chodang demo --orders past-orders.csv.gz    # real orders: the notices their sellers should have posted

Everything is real but the customers: Postgres, RabbitMQ, ZooKeeper, the API over HTTP; notifications go to the TMS
simulator, and never to another gateway. Ends with 0 only if every order settled as the rules say and the simulator
delivered exactly one notification for each that had to be told; with 130 after Ctrl-C in the middle.`;

/** Makes `chodang demo`, the main job with everything around it; what `npm start` runs. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'does the main job: brings servers up, loads orders, posts delay notices, shows what becomes of them',
    )
    .option('--exit', 'ends after the summary, instead of running on')
    .option('--orders <file>', 'orders from a CSV, also gzipped, instead of generated ones')
    .addOption(
      new Option('--size <orders>', 'how many orders are generated; the notice has 30 % of them')
        .default(100_000)
        .argParser(sizeOf),
    )
    .option('--json', 'prints { outcome, addresses } instead of tables')
    .addHelpText('after', examples)
    .action(async (options: Options) => {
      const stopping = stopOnSignals();
      const { signal } = stopping;
      try {
        process.exitCode = await demo(options, stopping);
      } catch (error) {
        if (!signal.aborted) throw error;
        if (!(signal.reason instanceof Interrupted)) throw signal.reason;
        process.stderr.write(`${signal.reason.message} What was accepted will settle at the next start.\n`);
        process.exitCode = signal.reason.exitCode;
      } finally {
        // Whatever a start that failed halfway still holds open shall not keep us.
        endWithin(3_000);
      }
    });
}

const say = (line: string) => process.stderr.write(`${line}\n`);

/** Does it all; returns the exit code. Throws when it is stopped before the summary. */
async function demo(options: Options, stopping: AbortController): Promise<number> {
  const { signal } = stopping;
  const status = await stackUp({ env: stackEnvironment(), log: (line) => say(`${line} …`) });
  signal.throwIfAborted();
  const config = loadSettings({ overlay: { log: { level: 'warn' }, legacy: { intervalMs: 2_000 } } });
  requireUrls(config, ['postgres', 'rabbitmq', 'zookeeper', 'tms']);
  await toldSoFar(config.tms.url);
  if (!(await isFree(config.http.host, config.http.port))) {
    say(`Port ${config.http.port} is taken; the API takes a free one.`);
    config.http.port = 0;
  }

  const log = openLog({ level: config.log.level, destination: { write: (line) => say(inOneLine(line)) } });
  const store = openStore({ ...config.postgres, log });
  const closing = [() => store.close()];
  try {
    await migrate(store);
    signal.throwIfAborted();
    // It can't go on, and says why: a queue that exists with other arguments, for one.
    const onFatal = (error: Error) => stopping.abort(error);
    const running = await startProcess(config, { log, onFatal });
    closing.push(() => running.stop());
    const api = running.address ?? '';
    await makeZnode({ ...config.zookeeper, registry: config.switches }, 'delay-notice-path');
    const ran = await runOnce({
      config,
      store,
      api,
      file: options.orders,
      size: options.size,
      shop: shopOf(config),
      signal,
      show: (title, total) => showProgress(title, total, { lines: true }),
    });
    show(options, ran, config, { api, managementUrl: status.rabbitmq.managementUrl });
    if (!options.exit) await untilStopped(signal);
    return ran.outcome.asExpected ? 0 : 1;
  } finally {
    if (signal.aborted) say('stopping: what is held is settled first …');
    const { shutdownMs } = config.pipeline;
    setTimeout(() => {
      say(`not everything was settled within ${shutdownMs} ms; RabbitMQ delivers the rest at the next start`);
      process.exit(1);
    }, shutdownMs).unref();
    for (const close of closing.toReversed()) await close();
  }
}

function show(
  { json, exit = false }: Options,
  { outcome, sample }: Ran,
  config: Config,
  { api, managementUrl }: { api: string; managementUrl: string | null },
): void {
  const addresses = addressesOf({ config, api, managementUrl, zkCli, sample });
  process.stdout.write(
    json
      ? `${JSON.stringify({ outcome, addresses })}\n`
      : tableOf(outcome) + toldAddresses(addresses, { running: !exit }),
  );
}

/** A line of the log for people: what happened, and why. */
function inOneLine(line: string): string {
  const { level, msg, err } = JSON.parse(line) as { level: string; msg?: string; err?: { message: string } };
  return `${level}: ${msg ?? ''}${err && err.message !== msg ? ` (${err.message})` : ''}`;
}

function sizeOf(text: string): number {
  const size = Number(text);
  if (!Number.isInteger(size) || size < 100 || size > 150_000)
    throw new InvalidArgumentError(`Expected ${count(100)} to ${count(150_000)} orders.`);
  return size;
}

/** Says that somebody stopped the demo. */
class Interrupted extends Error {
  override name = 'Interrupted';
  /** 128 and the signal's number, as shells have it. */
  readonly exitCode: number;
  constructor(signalNumber: number) {
    super('Stopped before the end.');
    this.exitCode = 128 + signalNumber;
  }
}

/** Catches Ctrl-C and SIGTERM once, to end in order; the second one ends the process at once. */
function stopOnSignals(): AbortController {
  const stopping = new AbortController();
  const signals = [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const;
  for (const [name, number] of signals)
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(128 + number);
      stopping.abort(new Interrupted(number));
    });
  return stopping;
}

/** Resolves when somebody stops the demo; throws what stopped it if nobody did. */
async function untilStopped(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
  if (!(signal.reason instanceof Interrupted)) throw signal.reason;
}
