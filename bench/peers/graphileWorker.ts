// Graphile Worker on Chodang's Postgres: one runner, a task for each step. It has no way to hand several jobs to a task.
//
//   node bench/peers/graphileWorker.ts MODE      with Chodang's variables
import { type JobHelpers, Logger, makeWorkerUtils, run, WorkerPreset } from 'graphile-worker';
import type { NoticeChunk } from '../../src/rules/message.ts';
import type { Mode } from './messages.ts';
import { serve } from './serve.ts';
import { nextOf, openSteps, type StepName, stepNames } from './steps.ts';

/**
 * As its page on performance has it (https://worker.graphile.org/docs/performance): jobs are fetched some at a time into
 * a local queue, and those that are done are deleted together, 25 ms later. Per order more in the local queue than the
 * one above `concurrentJobs` that it begins with, and fewer than the 500 of its own benchmark, were the best here;
 * deleting without delay took a quarter longer, and `refetchDelay` won nothing.
 */
const batching = { completeJobBatchDelay: 25, failJobBatchDelay: 25 };
const working: Record<Mode, { concurrentJobs: number; localQueue: { size: number } }> = {
  perOrder: { concurrentJobs: 24, localQueue: { size: 100 } },
  chunked: { concurrentJobs: 6, localQueue: { size: 7 } },
};

await serve(async (mode) => {
  const steps = await openSteps();
  const preset = {
    extends: [WorkerPreset],
    worker: {
      ...batching,
      ...working[mode],
      connectionString: String(process.env['CHODANG_POSTGRES_URL']),
      maxPoolSize: working[mode].concurrentJobs + 1,
      logger: new Logger(() => (level, message) => {
        if (level === 'error' || level === 'warning') process.stderr.write(`${message}\n`);
      }),
    },
  };
  const task = (step: StepName) => async (chunk: NoticeChunk, helpers: JobHelpers) => {
    const [forwarded] = await steps.run(step, [{ chunk, redelivered: helpers.job.attempts > 1 }]);
    const next = nextOf(step);
    if (next && forwarded) await helpers.addJob(next, forwarded);
  };
  const taskList = Object.fromEntries(stepNames.map((step) => [step, task(step)]));
  const runner = await run({ preset, taskList, parsedCronItems: [], noHandleSignals: true });
  const utils = await makeWorkerUtils({ preset });
  return {
    async enqueue(chunks) {
      await utils.addJobs(chunks.map((payload) => ({ identifier: 'validation', payload })));
    },
    async close() {
      await runner.stop();
      await utils.release();
      await steps.close();
    },
  };
});
