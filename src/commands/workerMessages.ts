import type { Registry } from 'prom-client';

/** All metrics of one process, as prom-client makes JSON of them. */
export type MetricsJson = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** What a worker process tells the primary one. */
export type FromWorker =
  /** It does its work; `address` is where it listens, null without the part `api`. */
  | { kind: 'ready'; address: string | null }
  /** It can't start, and has said why on standard error. */
  | { kind: 'failed' }
  /** Somebody wants to see the metrics of all. */
  | { kind: 'wants page'; id: number }
  | { kind: 'metrics'; id: number; metrics: MetricsJson };

/** What the primary process tells a worker process. */
export type ToWorker =
  /** Settle what is held, and end. */
  | { kind: 'stop' }
  | { kind: 'wants metrics'; id: number }
  /** The metrics of all; null if they could not be had. */
  | { kind: 'page'; id: number; page: string | null };
