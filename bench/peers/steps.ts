import { pino } from 'pino';
import { uuidv7 } from 'uuidv7';
import delay from '../../src/actors/delay.ts';
import tms from '../../src/actors/tms.ts';
import validation from '../../src/actors/validation.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { NoticeChunk } from '../../src/rules/message.ts';
import type { NoticeHeader } from '../../src/rules/notice.ts';
import { gatewayOf, servicesOf } from '../../src/services.ts';
import { openStore } from '../../src/store/store.ts';
import type { Orders } from './messages.ts';

/** The steps, in the order in which an order passes them. */
export const stepNames = ['validation', 'delay', 'tms'] as const;
export type StepName = (typeof stepNames)[number];

/** The step that what is forwarded goes to; undefined for the last. */
export const nextOf = (step: StepName): StepName | undefined => stepNames[stepNames.indexOf(step) + 1];

/** What a queue hands to a step: one job's data, and whether an earlier try may have got as far. */
export interface Handed {
  chunk: NoticeChunk;
  redelivered: boolean;
}

/** Chodang's own actors, for a queue that is not Chodang's. */
export interface Steps {
  /**
   * Runs one step over the data of some jobs, in one call of the actor. Returns for each what goes on to the next step,
   * undefined where nothing does. Throws if anything was not settled, for the queue to try it again.
   */
  run(step: StepName, handed: readonly Handed[]): Promise<(NoticeChunk | undefined)[]>;
  close(): Promise<void>;
}

/**
 * Opens the actors of `src/actors/` with their services, as src/process.ts does, from the same settings and variables:
 * the same SQL over as many connections, the same client of the gateway.
 *
 * What Chodang's engine does around an actor is left to the queue, or left out: nothing is halved, parsed or counted.
 */
export async function openSteps(): Promise<Steps> {
  const config = loadConfig();
  const log = pino({ level: 'warn' }, pino.destination(2));
  const store = openStore({ ...config.postgres, log });
  await store.warm();
  const gateway = gatewayOf(config, log);
  const services = servicesOf(config, { store, gateway, log });
  const actors = { validation: validation(services), delay: delay(services), tms: tms(services) };
  return {
    async run(step, handed) {
      const entries = handed.flatMap(({ chunk: { header, items }, redelivered }) =>
        items.map((item) => ({ header, item, attempt: 1, redelivered })),
      );
      const answers = await actors[step].run(entries);
      let at = 0;
      return handed.map(({ chunk: { header, items } }) => {
        const forwarded = items.flatMap((item) => {
          const answer = answers[at++];
          if (answer === undefined) throw new Error(`${step} left ${item.orderId} without an answer`);
          if ('error' in answer) throw answer.error;
          if (answer.kind === 'done') return [];
          return [answer.item ?? item];
        });
        return forwarded.length > 0 ? { header, items: forwarded } : undefined;
      });
    },
    async close() {
      await gateway.close();
      await store.close();
    },
  };
}

/** Makes the data of the first step's jobs: one notice in chunks of `perJob` orders; where that is 1, a notice for each order. */
export function chunksOf({ prefix, count, sellers, perJob, notice }: Orders): NoticeChunk[] {
  const header = (at: number): NoticeHeader => ({
    noticeId: uuidv7(),
    sellerId: `seller-${at % sellers}`,
    path: 'actors',
    ...notice,
  });
  const one = header(0);
  return Array.from({ length: Math.ceil(count / perJob) }, (_, at) => ({
    header: perJob === 1 ? header(at) : one,
    items: Array.from({ length: Math.min(perJob, count - at * perJob) }, (_, i) => ({
      orderId: `${prefix}-${at * perJob + i}`,
    })),
  }));
}
