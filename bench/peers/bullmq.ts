// BullMQ on Redis: a queue and a worker for each step. What batches there are in BullMQ are in its Pro edition.
//
//   node bench/peers/bullmq.ts MODE      with REDIS_PORT, and Chodang's variables
import { type ConnectionOptions, Queue, Worker } from 'bullmq';
import type { NoticeChunk } from '../../src/rules/message.ts';
import { serve } from './serve.ts';
import { nextOf, openSteps, type StepName, stepNames } from './steps.ts';

const connection: ConnectionOptions = {
  host: '127.0.0.1',
  port: Number(process.env['REDIS_PORT']),
  maxRetriesPerRequest: null, // its docs: a worker waits for Redis rather than fail
};
const defaultJobOptions = {
  removeOnComplete: true, // nothing is kept of what is done: the least work for Redis
  attempts: 5,
  backoff: 5_000,
};

const queueOf = (step: StepName) => new Queue<NoticeChunk>(step, { connection, defaultJobOptions });

await serve(async (mode) => {
  const steps = await openSteps();
  const queues = { validation: queueOf('validation'), delay: queueOf('delay'), tms: queueOf('tms') };
  const workers = stepNames.map((step) => {
    const worker = new Worker<NoticeChunk>(
      step,
      async (job) => {
        const handed = { chunk: job.data, redelivered: job.attemptsStarted > 1 };
        const [forwarded] = await steps.run(step, [handed]);
        const next = nextOf(step);
        if (next && forwarded) await queues[next].add(next, forwarded);
      },
      // For jobs that wait for a server most of the time its docs take 50. From 6 to 50 it was all the same here; fewer in
      // chunks, which keep the processor busy.
      { connection, concurrency: mode === 'perOrder' ? 50 : 4 },
    );
    worker.on('error', complain);
    worker.on('failed', (_, error) => complain(error));
    return worker;
  });
  await Promise.all([...workers, ...Object.values(queues)].map((each) => each.waitUntilReady()));
  return {
    async enqueue(chunks) {
      await queues.validation.addBulk(chunks.map((data) => ({ name: 'validation', data })));
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.close()));
      await Promise.all(Object.values(queues).map((queue) => queue.close()));
      await steps.close();
    },
  };
});

function complain(error: Error): void {
  process.stderr.write(`${error.stack}\n`);
}
