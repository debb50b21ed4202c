// pg-boss on Chodang's Postgres: a queue and its workers for each step.
//
//   node bench/peers/pgBoss.ts MODE [gathered]      with Chodang's variables
import { PgBoss } from 'pg-boss';
import type { NoticeChunk } from '../../src/rules/message.ts';
import type { Mode } from './messages.ts';
import { serve } from './serve.ts';
import { type Handed, nextOf, openSteps, type StepName, stepNames } from './steps.ts';

/**
 * How jobs are fetched. Its default, a job every two seconds, would measure the pauses: here a worker goes on at once as
 * long as it gets as many as it asked for, and else is woken by a notification. That takes a `batchSize` of 2 at least:
 * with 1 it sleeps for 30 s after each job, whatever waits.
 *
 * The numbers were the best of those tried: per order 10 to 100 jobs by 1 to 3 workers, in chunks 2 to 4 by 1 or 2. A
 * table for each queue (`partition`) won nothing.
 */
const fetching: Record<Mode | 'gathered', { batchSize: number; localConcurrency: number }> = {
  perOrder: { batchSize: 50, localConcurrency: 2 },
  chunked: { batchSize: 4, localConcurrency: 2 },
  gathered: { batchSize: 500, localConcurrency: 2 },
};
/** All jobs that were fetched together go through the step in one call, not each in its own. */
const gathered = process.argv[3] === 'gathered';

await serve(async (mode) => {
  const steps = await openSteps();
  const run = async (step: StepName, handed: Handed[]) => {
    if (gathered) return steps.run(step, handed);
    return (await Promise.all(handed.map((each) => steps.run(step, [each])))).flat();
  };
  const boss = new PgBoss({
    connectionString: String(process.env['CHODANG_POSTGRES_URL']),
    max: 12,
    useListenNotify: true,
    schedule: false, // no cron
  });
  boss.on('error', (error) => process.stderr.write(`${error.stack}\n`));
  boss.on('warning', (warning) => process.stderr.write(`${JSON.stringify(warning)}\n`));
  await boss.start();
  /** One statement, however many jobs. */
  const insert = (step: StepName, chunks: readonly NoticeChunk[]) =>
    boss.insert(
      step,
      chunks.map((data) => ({ data })),
    );
  for (const step of stepNames) await boss.createQueue(step, { notify: true, retryLimit: 5, retryDelay: 5 });
  for (const step of stepNames)
    await boss.work<NoticeChunk>(
      step,
      { ...fetching[gathered ? 'gathered' : mode], burstWhenBatchFull: true },
      async (jobs) => {
        const handed = jobs.map(({ data, retryCount }) => ({ chunk: data, redelivered: retryCount > 0 }));
        const forwarded = (await run(step, handed)).filter((chunk) => chunk !== undefined);
        const next = nextOf(step);
        if (next) await insert(next, forwarded);
      },
    );
  return {
    async enqueue(chunks) {
      await insert('validation', chunks);
    },
    async close() {
      await boss.stop();
      await steps.close();
    },
  };
});
