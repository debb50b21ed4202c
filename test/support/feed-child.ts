// Runs the order feed in a process of its own; with KILL_AFTER_COMMIT it ends itself with SIGKILL once the events of
// its first batch are in Postgres, before RabbitMQ hears of it.
import { loadConfig } from '../../src/config/load.ts';
import { runFeed } from './feed.ts';

const config = loadConfig({ overlay: JSON.parse(process.env['OVERLAY'] ?? '{}') as Record<string, unknown> });
const running = await runFeed(config, (actor) => ({
  async run(batch) {
    const answers = await actor.run(batch);
    if (process.env['KILL_AFTER_COMMIT']) {
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => undefined);
    }
    return answers;
  },
}));
process.stdout.write('ready\n');
process.once('SIGTERM', () => void running.stop());
