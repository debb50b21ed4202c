import type { Ref } from 'nact';
import { type Consumer, type LaneOptions, spawnConsumer } from './consumer.ts';
import type { ConsumersChange } from './observer.ts';
import type { LaneLimits } from './override.ts';
import { noMemory, type ScalingMemory, type ScalingOptions, scale } from './scaling.ts';
import type { Step } from './step.ts';
import { queueOf } from './topology.ts';

// A consumer that starts while its queue is being deleted and declared again is forgotten by RabbitMQ 3.10 without
// a word. Consuming anew costs nothing, so we do it for a queue that nobody touches.
const untouchedAfter = 10;

/** The consuming actors of one lane of a step: as many as its load needs, and all of them held while it is paused. */
export class Lane<Header, Item> {
  readonly name: string;
  readonly #parent: Ref<never>;
  readonly #step: Step<Header, Item>;
  readonly #options: LaneOptions;
  readonly #scaling: ScalingOptions;
  #limits: LaneLimits;
  readonly #consumers: { consumer: Consumer; busyMsBefore: number }[] = [];
  readonly #leaving = new Set<Promise<void>>();
  #spawned = 0;
  #draining = false;
  #memory: ScalingMemory = noMemory;
  #lookedAt: number | undefined;
  #untouchedLooks = 0;

  constructor(
    name: string,
    parent: Ref<never>,
    step: Step<Header, Item>,
    { options, limits, scaling }: { options: LaneOptions; limits: LaneLimits; scaling: ScalingOptions },
  ) {
    this.name = name;
    this.#parent = parent;
    this.#step = step;
    this.#options = options;
    this.#limits = limits;
    this.#scaling = scaling;
    if (limits.pause) step.observer.paused(step.name, name, limits.pause);
    this.#resize(limits.min, 'start');
  }

  get consumers(): number {
    return this.#consumers.length;
  }

  get paused(): boolean {
    return this.#limits.pause !== undefined;
  }

  /** Takes other limits, at once: also whether it is paused. */
  async adjust(limits: LaneLimits): Promise<void> {
    const { pause: before } = this.#limits;
    const { pause } = limits;
    this.#limits = limits;
    if (this.#draining) return;
    if (pause?.at.getTime() !== before?.at.getTime() || pause?.name !== before?.name)
      this.#step.observer.paused(this.#step.name, this.name, pause);
    if (pause && !before) await this.hold();
    if (!pause && before) this.release();
    const { to, why, memory } = this.#decide({ depth: 0, load: this.consumers, at: performance.now() });
    if (why !== 'limits') return;
    this.#memory = memory;
    this.#resize(to, why);
  }

  /** Consumes nothing more, and hands back what is not begun. */
  async hold(): Promise<void> {
    await Promise.all(this.#consumers.map(({ consumer }) => consumer.pause()));
  }

  /** Consumes again, unless something still holds it. */
  release(): void {
    if (this.#mayConsume()) for (const { consumer } of this.#consumers) consumer.resume();
  }

  /** Looks how deep its queue is and how busy its actors are, and adds or removes one where that is called for. */
  async look(): Promise<void> {
    if (!this.#mayConsume()) {
      this.#forgetLooks();
      return;
    }
    const depth = await this.#step.broker.depth(queueOf(this.#step.name, this.name));
    const at = performance.now();
    const idleSince = Math.max(...this.#consumers.map(({ consumer }) => consumer.lastBusyAt()));
    const idle = Date.now() - idleSince >= this.#scaling.checkMs;
    this.#untouchedLooks = idle && depth > 0 ? this.#untouchedLooks + 1 : 0;
    if (this.#untouchedLooks >= untouchedAfter) {
      this.#untouchedLooks = 0;
      this.release();
    }
    const { to, why, memory } = this.#decide({ depth, load: this.#loadSince(at), at });
    this.#memory = memory;
    if (why) this.#resize(to, why, depth);
  }

  /** Stops consuming, settles what is held, and ends. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const { consumer } of this.#consumers) this.#leave(consumer);
    await Promise.all(this.#leaving);
  }

  #mayConsume(): boolean {
    return !this.#draining && !this.paused && !this.#step.circuit.open;
  }

  #decide(seen: { depth: number; load: number; at: number }) {
    const { prefetch } = this.#options;
    const look = { ...seen, consumers: this.consumers };
    return scale(this.#memory, look, this.#limits, { prefetch, scaling: this.#scaling });
  }

  /** How many actors were at work on average since the look before; all of them at the first. */
  #loadSince(at: number): number {
    let worked = 0;
    for (const each of this.#consumers) {
      const busyMs = each.consumer.busyMs();
      worked += busyMs - each.busyMsBefore;
      each.busyMsBefore = busyMs;
    }
    const load = this.#lookedAt === undefined ? this.consumers : worked / (at - this.#lookedAt);
    this.#lookedAt = at;
    return load;
  }

  #forgetLooks(): void {
    this.#memory = { ...this.#memory, deepLooks: 0, easyLooks: 0 };
    this.#lookedAt = undefined;
    this.#untouchedLooks = 0;
  }

  #resize(to: number, why: ConsumersChange['why'], waiting?: number): void {
    const from = this.consumers;
    while (this.consumers < to) this.#add();
    // Not awaited: one may be in the middle of a long batch, and the others go on meanwhile.
    for (const { consumer } of this.#consumers.splice(to)) this.#leave(consumer);
    this.#step.observer.consumers(this.#step.name, this.name, to, { from, why, waiting });
  }

  #add(): void {
    this.#spawned += 1;
    const name = `${this.name}-${this.#spawned}`;
    const consumer = spawnConsumer(this.#parent, name, this.#step, this.name, this.#options);
    this.#consumers.push({ consumer, busyMsBefore: 0 });
    if (this.#mayConsume()) consumer.resume();
  }

  #leave(consumer: Consumer): void {
    const leaving = consumer
      .drain()
      .catch((error: unknown) =>
        this.#step.observer.crashed(
          this.#step.name,
          this.name,
          error instanceof Error ? error : new Error(String(error)),
        ),
      )
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}
