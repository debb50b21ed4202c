import type { InfrastructureError } from './errors.ts';
import type { OverrideSource } from './override.ts';
import type { ScalingReason } from './scaling.ts';

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
  consumers(step: string, lane: string, count: number, change: ConsumersChange): void;
  /** A lane is paused by somebody, or (undefined) no longer. */
  paused(step: string, lane: string, pause: OverrideSource | undefined): void;
  /** A consuming actor crashed and was restarted alone. */
  crashed(step: string, lane: string, error: Error): void;
}

/** How many consuming actors a lane had before, and why they are more or fewer now. */
export interface ConsumersChange {
  from: number;
  why: ScalingReason | 'start';
  /** How many messages waited when it was decided; undefined if that did not matter. */
  waiting?: number | undefined;
}
