import cluster from 'node:cluster';
import { Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/schema.ts';
import { openLog } from '../log.ts';
import { startProcess } from '../process.ts';
import { endWithin } from './endWithin.ts';
import { loadSettings, requireUrls } from './settings.ts';
import { asWorker } from './worker.ts';
import { runWorkers } from './workers.ts';

const mostWorkers = 64;
/** How long a process that has nothing left to do waits until its log is read, in ms. */
const logPatienceMs = 1_000;

const examples = `
Examples:
  $ chodang start                          # everything in one process
  $ chodang start --workers 4              # everything in four processes, which share the port
  $ chodang start --only api               # several processes: one for the sellers …
  $ chodang start --only validation,delay,tms,failures --workers 2
  $ chodang start --only legacy            # … and the legacy path by itself

SIGTERM or Ctrl-C settles what is held and ends within pipeline.shutdownMs; a second Ctrl-C ends at once.
Each worker process opens up to postgres.poolSize connections and a few more, and consumes by its own limits.`;

interface StartOptions {
  only?: string;
  workers?: number;
  json?: boolean;
}

/** Makes `chodang start`, which runs the parts of Chodang until it is told to stop. */
export function startCommand(): Command {
  return new Command('start')
    .description('runs the API, the steps, the failures actor, the legacy path and the order feed')
    .option(
      '--only <parts>',
      'comma-separated: api, failures, legacy, orders and names of steps (default: all)',
    )
    .option('--workers <n>', 'in so many processes; one that dies is replaced', workersOf)
    .option('--json', 'prints { address, parts, workers? } when it is ready, instead of a sentence')
    .addHelpText('after', examples)
    .action(async (options: StartOptions) => {
      const config = loadSettings();
      requireUrls(config, ['postgres', 'rabbitmq', 'zookeeper', 'tms']);
      const parts = options.only?.split(',').map((part) => part.trim());
      if (options.workers === undefined) await runAlone(config, parts, options);
      else if (cluster.isPrimary) await runPrimary(config, parts, { ...options, workers: options.workers });
      else await runWorker(config, parts);
    });
}

function workersOf(text: string): number {
  if (!/^[1-9]\d?$/.test(text) || Number(text) > mostWorkers)
    throw new InvalidArgumentError(`expected a whole number from 1 to ${mostWorkers}`);
  return Number(text);
}

/** Runs all in this process; the second signal ends it at once. */
async function runAlone(config: Config, parts: string[] | undefined, options: StartOptions): Promise<void> {
  const stopping = stopOnce(config);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      process.once(signal, () => process.exit(130));
      stopping.stop(signal);
    });
  await run(config, parts, stopping, (address) => sayReady(address, parts, options));
}

/** Runs worker processes, which run this very command. */
async function runPrimary(
  config: Config,
  parts: string[] | undefined,
  options: StartOptions & { workers: number },
): Promise<void> {
  process.exitCode = await runWorkers({
    count: options.workers,
    log: openLog({ level: config.log.level }),
    shutdownMs: config.pipeline.shutdownMs,
    mostYoungDeaths: 3 * config.pipeline.maxRedeliveries,
    ready: (address) => sayReady(address ?? undefined, parts, options),
  });
  endWithin(logPatienceMs);
}

/** Runs all in a worker process, until the primary one wants it to stop. */
async function runWorker(config: Config, parts: string[] | undefined): Promise<void> {
  const stopping = stopOnce(config);
  const worker = asWorker(() => stopping.stop('the primary process'));
  // Ctrl-C reaches every process of the terminal, and a service manager may send SIGTERM to each; what comes from the
  // primary process after that must not count as a second signal.
  process.on('SIGTERM', () => stopping.stop('SIGTERM'));
  process.on('SIGINT', () => undefined);
  try {
    const ready = (address: string | undefined) => worker.tell({ kind: 'ready', address: address ?? null });
    await run(config, parts, { ...stopping, sharePage: worker.sharePage }, ready);
  } catch (error) {
    worker.tell({ kind: 'failed' });
    throw error;
  } finally {
    worker.leave();
  }
}

function sayReady(address: string | undefined, parts: string[] | undefined, options: StartOptions): void {
  const { json, workers } = options;
  const who = workers === undefined ? '' : `, ${workers} worker process${workers === 1 ? '' : 'es'}`;
  process.stdout.write(
    json
      ? `${JSON.stringify({ address: address ?? null, parts: parts ?? 'all', ...(workers && { workers }) })}\n`
      : `Chodang is ready${address === undefined ? '' : ` on ${address}`} (${parts?.join(', ') ?? 'all parts'}${who})\n`,
  );
}

/** Something that is stopped once, whoever says so first, and ends the process with 1 if that takes too long. */
function stopOnce(config: Config) {
  const log = openLog({ level: config.log.level });
  const { shutdownMs } = config.pipeline;
  const stopping = new AbortController();
  let tell: (why: string) => void;
  const stopped = new Promise<string>((resolve) => {
    tell = resolve;
  });
  return {
    log,
    signal: stopping.signal,
    stopped,
    stop(why: string): void {
      if (stopping.signal.aborted) return;
      setTimeout(() => {
        log.error({ shutdownMs }, 'not everything was settled in time; RabbitMQ delivers the rest again');
        process.exit(1);
      }, shutdownMs).unref();
      stopping.abort();
      tell(why);
    },
  };
}

async function run(
  config: Config,
  parts: string[] | undefined,
  options: Pick<ReturnType<typeof stopOnce>, 'log' | 'signal' | 'stopped'> &
    Pick<Parameters<typeof startProcess>[1], 'sharePage'>,
  ready: (address: string | undefined) => void,
): Promise<void> {
  const { log, signal, stopped, sharePage } = options;
  try {
    const running = await startProcess(config, { log, signal, sharePage, ...(parts && { parts }) }).catch(
      (error: unknown) => {
        if (!signal.aborted) throw error;
        log.info({}, 'stopped before it was ready');
        return undefined;
      },
    );
    if (running) {
      ready(running.address);
      log.info({ signal: await stopped }, 'stopping: settling what is held');
      await running.stop();
      log.info({}, 'stopped');
    }
  } finally {
    endWithin(logPatienceMs);
  }
}
