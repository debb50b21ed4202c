import { type ActorSystemRef, dispatch, spawn, stop } from 'nact';
import type { LaneOptions } from './consumer.ts';
import { InfrastructureError } from './errors.ts';
import { Lane } from './lane.ts';
import type { LaneLimits } from './override.ts';
import type { ScalingOptions } from './scaling.ts';
import { receive, runBatch, type Step } from './step.ts';
import { queueOf } from './topology.ts';

export interface SupervisorOptions {
  lanes: Record<string, LaneOptions>;
  scaling: ScalingOptions;
  /** What holds for a lane at the start, where somebody overruled its configuration. */
  limitsOf?: ((lane: string) => LaneLimits) | undefined;
}

/** All consuming actors of one step. */
export interface Supervisor {
  /** How many actors consume each lane now. */
  consumers(): Record<string, number>;
  /** Gives a lane other limits, or pauses it, at once; a lane that the step doesn't have is left out. */
  adjust(lane: string, limits: LaneLimits): void;
  /** Stops consuming, settles what is held, and ends. */
  drain(): Promise<void>;
}

type Mail =
  | { kind: 'look' }
  | { kind: 'circuit'; open: boolean }
  | { kind: 'adjust'; lane: string; limits: LaneLimits }
  | { kind: 'drain'; drained: () => void };

/**
 * Supervises a step: keeps between `consumers.min` and `consumers.max` actors on each lane (they follow the load, as
 * Spring's listener containers do: see `scale`), and holds them all while the circuit is open, letting one message
 * at a time probe the way. A lane that somebody paused is held, and not probed either.
 */
export function supervise<Header, Item>(
  system: ActorSystemRef,
  step: Step<Header, Item>,
  options: SupervisorOptions,
): Supervisor & { circuitChanged(open: boolean): void } {
  const { scaling } = options;
  let draining = false;

  /** Lets the first message found try; with nothing to try, the circuit stays open until there is. */
  const probe = async () => {
    for (const { name } of lanes.filter(({ paused }) => !paused)) {
      const delivery = await step.broker.get(queueOf(step.name, name));
      if (!delivery) continue;
      const parcel = await receive(step, name, delivery);
      if (parcel) await runBatch(step, name, [parcel]);
      return;
    }
  };

  const lookAround = async () => {
    try {
      if (step.circuit.probeDue) await probe();
      else for (const lane of lanes) await lane.look();
    } catch (error) {
      // RabbitMQ is away, which the broker has told already: the next look comes by itself.
      if (!(error instanceof InfrastructureError)) throw error;
    }
  };

  const onMail = async (_: undefined, mail: Mail): Promise<undefined> => {
    if (mail.kind === 'circuit') {
      for (const lane of lanes)
        if (mail.open) await lane.hold();
        else lane.release();
    } else if (mail.kind === 'adjust') {
      await lanes.find(({ name }) => name === mail.lane)?.adjust(mail.limits);
    } else if (mail.kind === 'look') {
      if (!draining) await lookAround();
    } else {
      await Promise.all(lanes.map((lane) => lane.drain()));
      mail.drained();
    }
    return undefined;
  };

  const supervisor = spawn(system, onMail, step.name, {
    onCrash: (_mail, error, ctx) => {
      step.observer.crashed(
        step.name,
        'supervisor',
        error ?? new Error('a supervisor crashed without an error'),
      );
      return ctx.resume;
    },
  });

  const lanes = Object.entries(options.lanes).map(([name, lane]) => {
    const limits = options.limitsOf?.(name) ?? { ...lane.consumers, from: undefined, pause: undefined };
    return new Lane(name, supervisor, step, { options: lane, limits, scaling });
  });
  const timer = setInterval(() => dispatch(supervisor, { kind: 'look' }), scaling.checkMs);

  return {
    consumers: () => Object.fromEntries(lanes.map((lane) => [lane.name, lane.consumers])),
    circuitChanged: (open) => dispatch(supervisor, { kind: 'circuit', open }),
    adjust: (lane, limits) => dispatch(supervisor, { kind: 'adjust', lane, limits }),
    async drain() {
      draining = true;
      clearInterval(timer);
      await new Promise<void>((drained) => dispatch(supervisor, { kind: 'drain', drained }));
      stop(supervisor);
    },
  };
}
