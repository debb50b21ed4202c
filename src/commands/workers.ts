import cluster, { type Worker } from 'node:cluster';
import type { Logger } from 'pino';
import { pause } from '../pause.ts';
import { Restarts } from './restarts.ts';
import type { FromWorker, ToWorker } from './workerMessages.ts';
import { WorkerMetrics } from './workerMetrics.ts';

export interface WorkersOptions {
  /** How many worker processes there are to be. */
  count: number;
  log: Logger;
  /** How long one may take to settle what it holds, in ms; a little later it is killed. */
  shutdownMs: number;
  /** After so many that died young in a row there is no use in going on. */
  mostYoungDeaths: number;
  /** Called once, when all of them do their work; `address` is where they listen, null without the part `api`. */
  ready(address: string | null): void;
}

/** Who dies before that, in ms, has died young. */
const youngMs = 10_000;
/** What is left to a worker process, in ms, after the time in which it should have ended by itself. */
const graceMs = 3_000;

/**
 * Runs this very command in worker processes, which share the port of the API, until SIGTERM or SIGINT; then they end
 * as one process would, and a second signal ends them at once. Gives the exit code: 0 if all ended well.
 *
 * One that dies is replaced. The first one starts alone: if it says that it can't, there are no others to say it too.
 */
export async function runWorkers(options: WorkersOptions): Promise<number> {
  const { count, log, shutdownMs } = options;
  const restarts = new Restarts(options.mostYoungDeaths);
  const members = new Map<number, { ready: boolean; failed: boolean; since: number }>();
  const metrics = new WorkerMetrics((id, request) => tell(id, { kind: 'wants metrics', id: request }));
  const waiting = new AbortController(); // for those that are to come
  /** Where the first one listens; undefined while it isn't ready. */
  let address: string | null | undefined;
  let allReady = false;
  let stopping = false;
  let code = 0;
  let end: () => void;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });

  function fork(): void {
    const worker = cluster.fork();
    members.set(worker.id, { ready: false, failed: false, since: performance.now() });
    metrics.began(worker.id);
    worker.on('message', (message: FromWorker) => void onMessage(worker, message));
    // What it said last may be read after its end was noticed.
    let end: [code: number | null, signal: string | null] | undefined;
    const settle = () => {
      if (end && !worker.isConnected()) onExit(worker, ...end);
    };
    worker.on('disconnect', settle);
    worker.on('exit', (code: number | null, signal: string | null) => {
      end = [code, signal];
      settle();
    });
    worker.on('error', (error) => log.warn({ err: error }, 'a worker process could not be told something'));
    setTimeout(() => {
      if (members.has(worker.id)) restarts.grewOld();
    }, youngMs).unref();
  }

  async function onMessage({ id }: Worker, message: FromWorker): Promise<void> {
    const member = members.get(id);
    if (message.kind === 'metrics') metrics.told(message.id, message.metrics);
    else if (message.kind === 'wants page') {
      const page = await metrics.page().catch((error: unknown) => {
        log.error({ err: error }, 'the metrics of the worker processes could not be put together');
        return null;
      });
      tell(id, { kind: 'page', id: message.id, page });
    } else if (!member) return;
    else if (message.kind === 'failed') member.failed = true;
    else {
      member.ready = true;
      if (stopping) return tell(id, { kind: 'stop' });
      onReady(message.address);
    }
  }

  function onReady(listening: string | null): void {
    if (address === undefined) {
      address = listening;
      // The first one can start, so the others can.
      for (let more = 1; more < count; more += 1) fork();
    } else if (address !== listening)
      // All were gone at once, and the port was to be any free one.
      log.warn({ address: listening }, 'the worker processes listen elsewhere now');
    const isReady = members.size === count && [...members.values()].every(({ ready }) => ready);
    if (allReady || !isReady) return;
    allReady = true;
    options.ready(address);
  }

  function onExit({ id, process: child }: Worker, exitCode: number | null, signal: string | null): void {
    const member = members.get(id);
    if (!member) return;
    members.delete(id);
    metrics.ended(id, { died: !stopping });
    if (stopping) {
      // Told before it could listen: nothing was begun.
      const interrupted = !member.ready && (signal === 'SIGINT' || signal === 'SIGTERM');
      if (exitCode !== 0 && !interrupted) code = 1;
      if (members.size === 0) end();
      return;
    }
    const livedMs = Math.round(performance.now() - member.since);
    const about = { pid: child.pid, code: exitCode, signal, livedMs };
    if (member.failed && !allReady) return giveUp();
    const againInMs = restarts.died({ young: livedMs < youngMs });
    if (againInMs === undefined) {
      log.fatal(about, 'worker processes die at once, again and again: giving up');
      return giveUp();
    }
    log.error({ ...about, againInMs }, 'a worker process ended by itself; another one takes its place');
    void again(againInMs);
  }

  async function again(ms: number): Promise<void> {
    // Rejects only if all are told to stop meanwhile.
    await pause(ms, waiting.signal);
    if (!stopping) fork();
  }

  function giveUp(): void {
    code = 1;
    stop();
  }

  function stop(): void {
    if (stopping) return;
    stopping = true;
    waiting.abort();
    for (const id of members.keys()) tell(id, { kind: 'stop' });
    if (members.size === 0) return end();
    setTimeout(() => {
      log.error({ workers: members.size }, 'worker processes did not end in time, and are killed');
      killAll();
    }, shutdownMs + graceMs).unref();
  }

  function killAll(): void {
    for (const id of members.keys()) cluster.workers?.[id]?.process.kill('SIGKILL');
  }

  const onSignal = (signal: string) => {
    if (stopping) {
      killAll();
      process.exit(130);
    }
    log.info({ signal }, 'stopping: the worker processes settle what they hold');
    stop();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal);
  fork();
  await ended;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onSignal);
  log.info({ code }, 'all worker processes have ended');
  return code;
}

function tell(id: number, message: ToWorker): void {
  const worker = cluster.workers?.[id];
  if (worker?.isConnected()) worker.send(message);
}
