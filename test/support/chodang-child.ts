// Runs Chodang as `chodang start` does, but ends itself with SIGKILL at the point that KILL_AT names: the
// tests of test/faults/ start it, and then look whether anything was lost.
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load.ts';
import { startProcess } from '../../src/process.ts';
import type { KillAt } from './world.ts';

const killAt = process.env['KILL_AT'] as KillAt | '';
const die = (): Promise<never> => {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
};

const parts = process.env['PARTS']?.split(',').filter(Boolean) ?? [];
const running = await startProcess(
  loadConfig({ overlay: JSON.parse(process.env['OVERLAY'] ?? '{}') as Record<string, unknown> }),
  {
    log: pino({ level: process.env['LOG_LEVEL'] ?? 'silent' }),
    ...(parts.length > 0 && { parts }),
    wrap: {
      broker: (broker) => ({
        ...broker,
        async publish(publication) {
          const { routingKey } = publication;
          if (killAt === 'before the publish of an accepted notice' && routingKey.startsWith('validation.'))
            await die();
          await broker.publish(publication);
          if (killAt === 'between publish and ack' && routingKey.startsWith('tms.')) await die();
        },
      }),
      actor: (step, actor) => ({
        async run(batch) {
          const seen = killAt.startsWith('whenever it sees ')
            ? killAt.slice('whenever it sees '.length)
            : undefined;
          if (batch.some(({ item }) => item.orderId === seen)) await die();
          const answers = await actor.run(batch);
          if (killAt === 'between commit and publish' && step === 'delay') await die();
          return answers;
        },
      }),
      gateway: (gateway) => ({
        ...gateway,
        async send(notifications) {
          const results = await gateway.send(notifications);
          if (killAt === 'between answer and ledger') await die();
          return results;
        },
      }),
    },
  },
);
process.stdout.write(`${running.address ?? 'ready'}\n`);
process.once('SIGTERM', () => void running.stop());
