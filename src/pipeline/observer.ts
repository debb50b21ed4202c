import type { InfrastructureError } from './errors.ts';

/** What the pipeline tells those who watch it: logs and metrics are made from this. */
export interface PipelineObserver {
  /** A batch went through an actor. `items` counts what was in it, `ms` how long it took. */
  batch(step: string, lane: string, items: number, ms: number): void;
  /** Items wait in `<step>.retriable`, because of themselves (`attempt`) or because a server is away. */
  retriable(step: string, lane: string, items: number, error: Error, attempt: number | 'unchanged'): void;
  /** A message went to `<step>.failed`. */
  failed(step: string, lane: string, items: number, error: Error, attempt: number, about: object): void;
  circuit(step: string, open: boolean, error: InfrastructureError | undefined): void;
  /** The number of consuming actors of a lane changed. */
  consumers(step: string, lane: string, count: number): void;
  /** A consuming actor crashed and was restarted alone. */
  crashed(step: string, lane: string, error: Error): void;
}
