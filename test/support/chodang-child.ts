// Runs Chodang as `chodang start` does, but ends itself with SIGKILL at the point that KILL_AT names: the
// tests of test/faults/ start it, and then look whether anything was lost.
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load.ts';
import { headerNames } from '../../src/pipeline/message.ts';
import { exchanges } from '../../src/pipeline/topology.ts';
import { startProcess } from '../../src/process.ts';
import type { KillAt } from './world.ts';

const killAt = process.env['KILL_AT'] as KillAt | '';
const die = (): Promise<never> => {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
};

let acked = 0;
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
          const { routingKey, exchange, headers } = publication;
          const isRetry = exchange === exchanges.steps && headers[headerNames.retry] !== undefined;
          if (killAt === 'before the publish of a retry' && isRetry) await die();
          if (killAt === 'before the publish of an accepted notice' && routingKey.startsWith('validation.'))
            await die();
          await broker.publish(publication);
          if (killAt === 'between publish and ack' && routingKey.startsWith('tms.')) await die();
          if (killAt === 'between the publish of a retry and its mark' && isRetry) await die();
          if (killAt === 'between the publish of a failure and the ack' && exchange === exchanges.failed)
            await die();
        },
        subscribe: (queue, onDelivery, options) =>
          broker.subscribe(
            queue,
            (delivery) =>
              onDelivery({
                ...delivery,
                ack() {
                  delivery.ack();
                  // In the middle of them: the first acks may or may not have left.
                  if (killAt === 'between record and ack' && queue.endsWith('.failed') && (acked += 1) > 2)
                    void die();
                },
              }),
            options,
          ),
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
