import type { PipelineObserver } from '../pipeline/observer.ts';

/** When orders that wait to be tried again are a storm. */
export interface StormLimits {
  /** More than so many percent of the orders that a step runs go to wait … */
  percent: number;
  /** … all through this time, in ms. */
  forMs: number;
  /** Fewer orders than this in that time are no storm. */
  minOrders: number;
}

/** A step whose orders don't get through. */
export interface Storm {
  step: string;
  /** Orders that ran in the time watched, repeats included, and how many of those went to wait. */
  ran: number;
  waited: number;
  /** For how long the circuit has been open, in ms; undefined while it is closed. */
  circuitOpenMs: number | undefined;
  /** Whether the shares alone say so; if not, it is one only if messages wait behind the open circuit. */
  byShare: boolean;
  /** What an order waited for last. */
  error: Error | undefined;
}

/** The time watched is cut into so many slices, and each must be bad: one burst of retries is no storm. */
const slicesWatched = 5;

interface Slice {
  ran: number;
  waited: number;
  /** Whether the circuit was open at any time in it. */
  open: boolean;
}

interface Watched {
  /** The newest last; that one is not over yet. */
  slices: Slice[];
  newest: number;
  openSince: number | undefined;
  error: Error | undefined;
}

/**
 * Watches the flow through the steps of this process, and tells storms of retries.
 *
 * It counts orders, each time they run: how many ran, and how many of those went to `<step>.retriable`, whether by
 * their own fault or since a server is away. A storm is:
 * - in each of the last five slices of `forMs` more than `percent` % went to wait, and at least `minOrders` ran in
 *   all of them. A slice in which nothing ran is a bad one if the circuit was open;
 * - or the circuit has been open for `forMs`. Then one message at a time probes, too few to count, and the rest lies
 *   in the queues of the lanes: whether any does is for the caller to look.
 */
export class StormWatch {
  readonly #limits: StormLimits;
  readonly #now: () => number;
  readonly #steps = new Map<string, Watched>();

  /** `now` is a clock in ms that is never set. */
  constructor(limits: StormLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Makes an observer that counts what it is told, and tells it on. */
  watching(observer: PipelineObserver): PipelineObserver {
    return {
      ...observer,
      batch: (step, lane, items, ms) => {
        this.#sliceOf(step).ran += items;
        observer.batch(step, lane, items, ms);
      },
      retriable: (step, lane, items, error, attempt) => {
        this.#sliceOf(step).waited += items;
        this.#watched(step).error = error;
        observer.retriable(step, lane, items, error, attempt);
      },
      circuit: (step, open, error) => {
        const watched = this.#watched(step);
        if (open) this.#sliceOf(step).open = true;
        watched.openSince = open ? (watched.openSince ?? this.#now()) : undefined;
        observer.circuit(step, open, error);
      },
    };
  }

  /** Tells which steps are in a storm now. */
  storms(): Storm[] {
    return [...this.#steps.keys()].flatMap((step) => this.#stormOf(step) ?? []);
  }

  #stormOf(step: string): Storm | undefined {
    const { percent, forMs, minOrders } = this.#limits;
    const { slices, openSince, error } = this.#watched(step);
    const over = slices.slice(0, -1);
    const ran = over.reduce((sum, slice) => sum + ranIn(slice), 0);
    const waited = over.reduce((sum, slice) => sum + slice.waited, 0);
    const circuitOpenMs = openSince === undefined ? undefined : this.#now() - openSince;
    const isBad = (slice: Slice) =>
      ranIn(slice) === 0 ? slice.open : slice.waited * 100 > percent * ranIn(slice);
    const byShare = over.length === slicesWatched && over.every(isBad) && ran >= minOrders;
    if (!byShare && (circuitOpenMs ?? 0) < forMs) return undefined;
    return { step, ran, waited, circuitOpenMs, byShare, error };
  }

  #sliceOf(step: string): Slice {
    return this.#watched(step).slices.at(-1) as Slice;
  }

  /** What is known of a step, with its slices brought up to now. */
  #watched(step: string): Watched {
    const now = Math.floor(this.#now() / (this.#limits.forMs / slicesWatched));
    const known = this.#steps.get(step);
    if (!known) {
      const first = { slices: [emptySlice(false)], newest: now, openSince: undefined, error: undefined };
      this.#steps.set(step, first);
      return first;
    }
    const missing = Math.min(now - known.newest, slicesWatched + 1);
    for (let slice = 0; slice < missing; slice += 1)
      known.slices.push(emptySlice(known.openSince !== undefined));
    known.slices = known.slices.slice(-(slicesWatched + 1));
    known.newest = now;
    return known;
  }
}

const emptySlice = (open: boolean): Slice => ({ ran: 0, waited: 0, open });

/** A batch is told when it is over, and what waits of it before: the two may fall into different slices. */
const ranIn = ({ ran, waited }: Slice) => Math.max(ran, waited);
