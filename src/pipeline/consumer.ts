import { dispatch, type Ref, spawn, stop } from 'nact';
import type { Delivery } from './broker/delivery.ts';
import type { Subscription } from './broker/subscription.ts';
import { handBack } from './handOver.ts';
import { type Parcel, receive, runBatch, type Step } from './step.ts';
import { queueOf } from './topology.ts';

/** How the consuming actors of one lane gather what they take at once. */
export interface LaneOptions {
  /** How many messages RabbitMQ hands an actor before it wants an ack: the back-pressure. */
  prefetch: number;
  batch: {
    /** A batch is full with so many items. */
    size: number;
    /** The same while messages come in another lane as well, which then wait for shorter ones; default: `size`. */
    sizeBeside?: number;
    /** A batch that isn't full waits so long for more, in ms; 0: it is what came while the batch before ran. */
    waitMs: number;
  };
  /** How many actors consume the lane: `min` always, up to `max` while the queue stays deep. */
  consumers: { min: number; max: number };
}

type Mail =
  /** Takes in what has been delivered. */
  | { kind: 'deliveries' }
  | { kind: 'run' }
  /** Hands back what is gathered: the circuit has opened, or the lane is paused. */
  | { kind: 'handBack' }
  /** Runs what is gathered, then calls `drained`: everything that came before is settled by then. */
  | { kind: 'drain'; drained: () => void };

/** One consuming actor. */
export interface Consumer {
  /** Starts deliveries, or starts them again after `pause`. */
  resume(): void;
  /** Stops deliveries and hands back what it holds but has not begun. */
  pause(): Promise<void>;
  /** Stops deliveries, settles all it holds, and ends. */
  drain(): Promise<void>;
  /** When it last had something to do, in ms since 1970. */
  lastBusyAt(): number;
  /** For how long it has been at work so far, in ms. */
  busyMs(): number;
}

// A message back for the second time may be what killed the process: it runs alone from then on.
const aloneFrom = 2;

/**
 * Spawns one nact actor that consumes one lane of a step: it gathers deliveries into a batch until the batch
 * is full or has waited long enough, runs it, and goes on.
 *
 * It starts with a prefetch of one and widens it when an innocent message has settled: if one of them kills
 * its process at every start, the others are not taken down with it, and their counts stay low.
 *
 * If the actor crashes (a bug of ours: whatever business code throws has become an answer), it alone is
 * reset: its channel is closed, so RabbitMQ delivers again what it held, and it starts afresh.
 */
export function spawnConsumer<Header, Item>(
  supervisor: Ref<never>,
  name: string,
  step: Step<Header, Item>,
  lane: string,
  options: LaneOptions,
): Consumer {
  /** Delivered, and not looked at yet. */
  let arrived: Delivery[] = [];
  let gathered: Parcel<Header, Item>[] = [];
  let items = 0;
  let timer: NodeJS.Timeout | undefined;
  let wide = false;
  /** Nothing is to be begun, whatever still comes. */
  let paused = false;
  /** Nothing more is to come. */
  let draining = false;
  let busySince: number | undefined;
  let busyMs = 0;
  let lastBusyAt = Date.now();
  let subscription = subscribe();

  function onArrival(delivery: Delivery): void {
    // nact gives an actor one mail in a turn of the event loop, so there is one for all that come in one.
    if (arrived.push(delivery) === 1) dispatch(actor, { kind: 'deliveries' });
  }

  function subscribe(): Subscription {
    return step.broker.subscribe(queueOf(step.name, lane), onArrival, { ofAnySize: 'write' in step.format });
  }

  const consume = () => subscription.consume(wide ? options.prefetch : 1);
  const held = () => paused || step.circuit.open;

  const take = (): Parcel<Header, Item>[] => {
    clearTimeout(timer);
    timer = undefined;
    const parcels = gathered;
    gathered = [];
    items = 0;
    return parcels;
  };

  const run = async (taken: Parcel<Header, Item>[]) => {
    lastBusyAt = Date.now();
    // What died with its channel comes again, perhaps in this very batch: the copy that can be settled must run.
    const parcels = taken.filter(({ delivery }) => delivery.alive());
    if (parcels.length === 0) return;
    await runBatch(step, lane, parcels);
    if (wide || draining || held() || parcels.some(({ delivery }) => delivery.deliveryCount >= aloneFrom))
      return;
    wide = true;
    consume();
  };

  const isFull = () => {
    const { size, sizeBeside = size } = options.batch;
    return items >= size || (items >= sizeBeside && step.traffic.isBeside(lane));
  };

  const onDelivery = async (delivery: Delivery) => {
    if (!delivery.alive()) return;
    step.traffic.came(lane);
    if (held()) return handBack(step, lane, [delivery]);
    const parcel = await receive(step, lane, delivery);
    if (!parcel) return;
    if (delivery.deliveryCount >= aloneFrom) return run([parcel]);
    gathered.push(parcel);
    items += parcel.entries.length;
    if (isFull() || !wide) return run(take());
    if (options.batch.waitMs > 0)
      timer ??= setTimeout(() => dispatch(actor, { kind: 'run' }), options.batch.waitMs);
  };

  const onArrived = async () => {
    const deliveries = arrived;
    arrived = [];
    for (const delivery of deliveries) await onDelivery(delivery);
    // What came while the batch before ran is the next one.
    if (options.batch.waitMs === 0 && !held()) await run(take());
  };

  const onMail = async (_: undefined, mail: Mail): Promise<undefined> => {
    busySince = performance.now();
    try {
      await onOne(mail);
    } finally {
      busyMs += performance.now() - busySince;
      busySince = undefined;
    }
    return undefined;
  };

  const onOne = async (mail: Mail): Promise<void> => {
    if (mail.kind === 'deliveries') await onArrived();
    else if (mail.kind === 'run' && !held()) await run(take());
    else if (mail.kind !== 'drain')
      await handBack(
        step,
        lane,
        take().map(({ delivery }) => delivery),
      );
    else {
      await run(take());
      mail.drained();
    }
  };

  const actor: Ref<Mail> = spawn(supervisor, onMail, name, {
    onCrash: async (mail, error, ctx) => {
      step.observer.crashed(step.name, lane, error ?? new Error('an actor crashed without an error'));
      arrived = [];
      take();
      wide = false;
      await subscription.close();
      if (mail?.kind === 'drain') {
        mail.drained();
        return ctx.stop;
      }
      subscription = subscribe();
      if (!draining && !held()) consume();
      return ctx.reset;
    },
  });

  return {
    resume() {
      paused = false;
      consume();
    },
    async pause() {
      paused = true;
      wide = false;
      // At once, too: while it holds much, RabbitMQ's answer is not read.
      dispatch(actor, { kind: 'handBack' });
      await subscription.cancel();
      dispatch(actor, { kind: 'handBack' });
    },
    async drain() {
      draining = true;
      await subscription.cancel();
      await new Promise<void>((drained) => dispatch(actor, { kind: 'drain', drained }));
      await subscription.close();
      stop(actor);
    },
    lastBusyAt: () => (busySince === undefined ? lastBusyAt : Date.now()),
    busyMs: () => busyMs + (busySince === undefined ? 0 : performance.now() - busySince),
  };
}
