// What the peers' processes use of their packages. These are installed in bench/peers/ alone, and only by whoever runs
// the scenario, so the types can't come from there.

declare module 'bullmq' {
  export interface ConnectionOptions {
    host: string;
    port: number;
    maxRetriesPerRequest: null;
  }
  export interface Job<Data> {
    data: Data;
    attemptsStarted: number;
  }
  export class Queue<Data> {
    constructor(
      name: string,
      options: {
        connection: ConnectionOptions;
        defaultJobOptions: { removeOnComplete: boolean; attempts: number; backoff: number };
      },
    );
    add(name: string, data: Data): Promise<unknown>;
    addBulk(jobs: { name: string; data: Data }[]): Promise<unknown>;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  }
  export class Worker<Data> {
    constructor(
      name: string,
      process: (job: Job<Data>) => Promise<void>,
      options: { connection: ConnectionOptions; concurrency: number },
    );
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'failed', listener: (job: unknown, error: Error) => void): this;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  }
}

declare module 'pg-boss' {
  export interface Job<Data> {
    data: Data;
    retryCount: number;
  }
  export class PgBoss {
    constructor(options: {
      connectionString: string;
      max: number;
      useListenNotify: boolean;
      schedule: boolean;
    });
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'warning', listener: (warning: object) => void): this;
    start(): Promise<unknown>;
    stop(): Promise<void>;
    createQueue(
      name: string,
      options: { notify: boolean; retryLimit: number; retryDelay: number },
    ): Promise<void>;
    insert(name: string, jobs: { data: object }[]): Promise<unknown>;
    work<Data>(
      name: string,
      options: {
        batchSize: number;
        localConcurrency: number;
        burstWhenBatchFull: boolean;
      },
      handle: (jobs: Job<Data>[]) => Promise<void>,
    ): Promise<string>;
  }
}

declare module 'graphile-worker' {
  export interface Preset {
    extends?: Preset[];
    worker: {
      connectionString: string;
      concurrentJobs: number;
      maxPoolSize: number;
      localQueue: { size: number };
      completeJobBatchDelay: number;
      failJobBatchDelay: number;
      logger: Logger;
    };
  }
  export interface JobHelpers {
    job: { attempts: number };
    addJob(task: string, payload: object): Promise<unknown>;
  }
  /** Of no use to us but to be handed on. */
  export interface Logger {
    scope(scope: object): Logger;
  }
  export const Logger: new (of: (scope: object) => (level: string, message: string) => void) => Logger;
  export const WorkerPreset: Preset;
  export function run(options: {
    preset: Preset;
    taskList: Record<string, (payload: never, helpers: JobHelpers) => Promise<void>>;
    parsedCronItems: [];
    noHandleSignals: boolean;
  }): Promise<{ stop(): Promise<void> }>;
  export function makeWorkerUtils(options: { preset: Preset }): Promise<{
    addJobs(jobs: { identifier: string; payload: object }[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
}
