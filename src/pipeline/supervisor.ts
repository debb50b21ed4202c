import { type ActorSystemRef, dispatch, spawn, stop } from 'nact';
import { type Consumer, type LaneOptions, spawnConsumer } from './consumer.ts';
import { InfrastructureError } from './errors.ts';
import { receive, runBatch, type Step } from './step.ts';
import { queueOf } from './topology.ts';

export interface SupervisorOptions {
  lanes: Record<string, LaneOptions>;
  scaling: {
    /** How often queue depths are looked at, in ms. */
    checkMs: number;
    /** A lane gets one more actor after so many looks in a row at a queue that stays deep. */
    growAfter: number;
    /** A lane loses one actor after so many looks in a row at an empty queue. */
    shrinkAfter: number;
  };
}

/** All consuming actors of one step. */
export interface Supervisor {
  /** How many actors consume each lane now. */
  consumers(): Record<string, number>;
  /** Stops consuming, settles what is held, and ends. */
  drain(): Promise<void>;
}

interface Lane {
  name: string;
  options: LaneOptions;
  consumers: Consumer[];
  spawned: number;
  deepLooks: number;
  emptyLooks: number;
  untouchedLooks: number;
}

const untouchedAfter = 10;

type Mail = { kind: 'look' } | { kind: 'circuit'; open: boolean } | { kind: 'drain'; drained: () => void };

/**
 * Supervises a step: keeps between `consumers.min` and `consumers.max` actors on each lane (they grow while
 * the queue stays deeper than one actor's prefetch, and shrink while it stays empty, as Spring's listener
 * containers do), and holds them all while the circuit is open, letting one message at a time probe the way.
 */
export function supervise<Header, Item>(
  system: ActorSystemRef,
  step: Step<Header, Item>,
  options: SupervisorOptions,
): Supervisor & { circuitChanged(open: boolean): void } {
  const { scaling } = options;
  let draining = false;
  const lanes: Lane[] = Object.entries(options.lanes).map(([name, lane]) => ({
    name,
    options: lane,
    consumers: [],
    spawned: 0,
    deepLooks: 0,
    emptyLooks: 0,
    untouchedLooks: 0,
  }));

  const grow = (lane: Lane) => {
    lane.spawned += 1;
    const name = `${lane.name}-${lane.spawned}`;
    const consumer = spawnConsumer(supervisor as never, name, step, lane.name, lane.options);
    lane.consumers.push(consumer);
    consumer.resume();
    step.observer.consumers(step.name, lane.name, lane.consumers.length);
  };

  const shrink = async (lane: Lane) => {
    const consumer = lane.consumers.pop();
    step.observer.consumers(step.name, lane.name, lane.consumers.length);
    await consumer?.drain();
  };

  const look = async (lane: Lane) => {
    const { min, max } = lane.options.consumers;
    const depth = await step.broker.depth(queueOf(step.name, lane.name));
    lane.deepLooks = depth > lane.options.prefetch ? lane.deepLooks + 1 : 0;
    const idleSince = Math.max(...lane.consumers.map((consumer) => consumer.lastBusyAt()));
    const idle = Date.now() - idleSince >= scaling.checkMs;
    lane.emptyLooks = idle && depth === 0 ? lane.emptyLooks + 1 : 0;
    // A consumer that starts while its queue is being deleted and declared again is forgotten by RabbitMQ
    // 3.10 without a word. Consuming anew costs nothing, so we do it for a queue that nobody touches.
    lane.untouchedLooks = idle && depth > 0 ? lane.untouchedLooks + 1 : 0;
    if (lane.untouchedLooks >= untouchedAfter) {
      lane.untouchedLooks = 0;
      for (const consumer of lane.consumers) consumer.resume();
    }
    if (lane.deepLooks >= scaling.growAfter && lane.consumers.length < max) {
      lane.deepLooks = 0;
      grow(lane);
    } else if (lane.emptyLooks >= scaling.shrinkAfter && lane.consumers.length > min) {
      lane.emptyLooks = 0;
      await shrink(lane);
    }
  };

  /** Lets the first message found try; with nothing to try, the circuit stays open until there is. */
  const probe = async () => {
    for (const { name } of lanes) {
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
      else if (!step.circuit.open) for (const lane of lanes) await look(lane);
    } catch (error) {
      // RabbitMQ is away, which the broker has told already: the next look comes by itself.
      if (!(error instanceof InfrastructureError)) throw error;
    }
  };

  const onMail = async (_: undefined, mail: Mail): Promise<undefined> => {
    if (mail.kind === 'circuit') {
      for (const consumer of lanes.flatMap((lane) => lane.consumers))
        if (mail.open) await consumer.pause();
        else if (!draining) consumer.resume();
    } else if (mail.kind === 'look') {
      if (!draining) await lookAround();
    } else {
      await Promise.all(lanes.flatMap((lane) => lane.consumers).map((consumer) => consumer.drain()));
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

  for (const lane of lanes) for (let count = 0; count < lane.options.consumers.min; count += 1) grow(lane);
  const timer = setInterval(() => dispatch(supervisor, { kind: 'look' }), scaling.checkMs);

  return {
    consumers: () => Object.fromEntries(lanes.map((lane) => [lane.name, lane.consumers.length])),
    circuitChanged: (open) => dispatch(supervisor, { kind: 'circuit', open }),
    async drain() {
      draining = true;
      clearInterval(timer);
      await new Promise<void>((drained) => dispatch(supervisor, { kind: 'drain', drained }));
      stop(supervisor);
    },
  };
}
