import { Command } from 'commander';
import { openLog } from '../log.ts';
import { startProcess } from '../process.ts';
import { loadSettings, requireUrls } from './settings.ts';

const examples = `
Examples:
  $ chodang start                          # everything in one process
  $ chodang start --only api               # several processes: one for the sellers …
  $ chodang start --only validation,delay,tms,failures
  $ chodang start --only legacy            # … and the legacy path by itself

SIGTERM or Ctrl-C settles what is held and ends within pipeline.shutdownMs; a second Ctrl-C ends at once.`;

/** Makes `chodang start`, which runs the parts of Chodang until it is told to stop. */
export function startCommand(): Command {
  return new Command('start')
    .description('runs the API, the steps, the failures actor and the legacy path')
    .option('--only <parts>', 'comma-separated: api, failures, legacy and names of steps (default: all)')
    .option('--json', 'prints { address, parts } when it is ready, instead of a sentence')
    .addHelpText('after', examples)
    .action(async (options: { only?: string; json?: boolean }) => {
      const config = loadSettings();
      requireUrls(config, ['postgres', 'rabbitmq', 'zookeeper', 'tms']);
      const log = openLog({ level: config.log.level });
      const { shutdownMs } = config.pipeline;
      const stopping = new AbortController();
      const stopped = new Promise<string>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const)
          process.once(signal, () => {
            process.once(signal, () => process.exit(130));
            setTimeout(() => {
              log.error(
                { shutdownMs },
                'not everything was settled in time; RabbitMQ delivers the rest again',
              );
              process.exit(1);
            }, shutdownMs).unref();
            stopping.abort();
            resolve(signal);
          });
      });
      const parts = options.only?.split(',').map((part) => part.trim());
      const running = await startProcess(config, {
        log,
        signal: stopping.signal,
        ...(parts && { parts }),
      }).catch((error: unknown) => {
        if (!stopping.signal.aborted) throw error;
        log.info({}, 'stopped before it was ready');
        return undefined;
      });
      if (!running) return;
      const { address } = running;
      process.stdout.write(
        options.json
          ? `${JSON.stringify({ address: address ?? null, parts: parts ?? 'all' })}\n`
          : `Chodang is ready${address === undefined ? '' : ` on ${address}`} (${parts?.join(', ') ?? 'all parts'})\n`,
      );
      log.info({ signal: await stopped }, 'stopping: settling what is held');
      await running.stop();
      log.info({}, 'stopped');
    });
}
