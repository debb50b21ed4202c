import { start, stop } from 'nact';
import type { Actor } from './actor.ts';
import type { Broker } from './broker/broker.ts';
import { Circuit, type CircuitOptions } from './circuit.ts';
import type { LaneOptions } from './consumer.ts';
import { joinChunks, type MessageFormat, publicationTo } from './message.ts';
import type { PipelineObserver } from './observer.ts';
import type { LaneLimits } from './override.ts';
import type { Step } from './step.ts';
import { type Supervisor, type SupervisorOptions, supervise } from './supervisor.ts';
import { exchanges } from './topology.ts';
import { Traffic } from './traffic.ts';

/** What one step is set to. */
export interface StepOptions {
  /** How long a message waits in `<step>.retriable`, in ms. */
  retryMs: number;
  maxAttempts: number;
  circuit: CircuitOptions;
  lanes: Record<string, LaneOptions>;
}

export interface PipelineOptions<Header, Item> {
  broker: Broker;
  format: MessageFormat<Header, Item>;
  /** Every step, in the order in which messages pass them. */
  steps: Record<string, StepOptions>;
  /** The actors of the steps that this process runs; it may be any of the steps, or none. */
  actors: Record<string, Actor<Header, Item>>;
  chunkSize: number;
  maxRedeliveries: number;
  scaling: SupervisorOptions['scaling'];
  /** What holds for a lane at the start; default: what `steps` says. */
  limitsOf?: ((step: string, lane: string) => LaneLimits) | undefined;
  observer: PipelineObserver;
}

/** A running pipeline. */
export interface Pipeline {
  /** How many actors consume each lane of each step that runs here. */
  consumers(): Record<string, Record<string, number>>;
  /** Gives a lane of a step other limits, or pauses it, at once; a step that does not run here is left out. */
  adjust(step: string, lane: string, limits: LaneLimits): void;
  /** Stops consuming, settles what is held, and ends. The broker stays open. */
  drain(): Promise<void>;
}

/** Starts the steps whose actors it is given: a supervisor for each, and consuming actors under it. */
export function startPipeline<Header, Item>(options: PipelineOptions<Header, Item>): Pipeline {
  const { broker, format, actors, chunkSize, maxRedeliveries, observer } = options;
  const system = start();
  const traffic = new Traffic();
  const names = Object.keys(options.steps);
  const supervisors = new Map<string, Supervisor>();
  for (const [at, [name, settings]] of Object.entries(options.steps).entries()) {
    const actor = actors[name];
    if (!actor) continue;
    const circuit = new Circuit(settings.circuit, (open, error) => {
      observer.circuit(name, open, error);
      supervisor.circuitChanged(open);
    });
    const step: Step<Header, Item> = {
      name,
      next: names[at + 1],
      actor,
      format,
      chunkSize,
      maxAttempts: settings.maxAttempts,
      maxRedeliveries,
      broker,
      circuit,
      traffic,
      observer,
    };
    const { limitsOf, scaling } = options;
    const supervisor = supervise(system, step, {
      lanes: settings.lanes,
      scaling,
      limitsOf: limitsOf && ((lane) => limitsOf(name, lane)),
    });
    supervisors.set(name, supervisor);
  }
  return {
    adjust: (step, lane, limits) => supervisors.get(step)?.adjust(lane, limits),
    consumers: () => Object.fromEntries([...supervisors].map(([name, each]) => [name, each.consumers()])),
    async drain() {
      await Promise.all([...supervisors.values()].map((each) => each.drain()));
      stop(system);
    },
  };
}

/** Publishes chunks, JSON already, to the first step of a pipeline; resolves once all are confirmed. */
export async function publishToFirst(
  broker: Broker,
  steps: Record<string, unknown>,
  lane: string,
  chunks: readonly string[],
): Promise<void> {
  const [first] = Object.keys(steps);
  if (first === undefined) throw new Error('the pipeline has no steps: expected at least one in config/');
  await broker.publish(publicationTo(exchanges.steps, first, lane, joinChunks(chunks)));
}
