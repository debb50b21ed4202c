import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';
import type { MetricsJson } from './workerMessages.ts';

/** How long a worker process may take to tell its metrics, in ms; then what it told last has to do. */
const answerWithinMs = 1_000;

/**
 * The metrics of all worker processes as those of one: counts are added up, and so are gauges unless they say otherwise.
 *
 * What a worker process that is gone had counted stays in the sums, as far as it was ever told: a sum that goes down looks
 * to Prometheus as if all had begun anew. prom-client's own `clusterMetrics` forgets the dead, and has no page at all
 * while one is stuck; of it only the adding up is used.
 */
export class WorkerMetrics {
  readonly #ask: (worker: number, id: number) => void;
  readonly #workers = new Map<number, MetricsJson>();
  readonly #asked = new Map<number, { worker: number; answered: () => void }>();
  readonly #own = new Registry();
  readonly #running: Gauge;
  readonly #deaths: Counter;
  /** What those had counted that are no more. */
  readonly #gone: MetricsJson[] = [];
  #lastId = 0;

  /** `ask` asks a worker process for its metrics, under an id with which `told` is called when it has answered. */
  constructor(ask: (worker: number, id: number) => void) {
    this.#ask = ask;
    const registers = [this.#own];
    this.#running = new Gauge({
      name: 'chodang_worker_processes',
      help: 'Worker processes that are there.',
      registers,
    });
    this.#deaths = new Counter({
      name: 'chodang_worker_deaths_total',
      help: 'Worker processes that ended without being told to.',
      registers,
    });
  }

  /** Takes note of a worker process that was started. */
  began(worker: number): void {
    this.#workers.set(worker, []);
    this.#running.set(this.#workers.size);
  }

  /** Takes note that one has ended, and whether by itself. */
  ended(worker: number, { died }: { died: boolean }): void {
    const last = this.#workers.get(worker) ?? [];
    // What it had counted stays counted; what it measured is no more.
    this.#gone.push(last.filter(({ type }) => ['counter', 'histogram'].includes(String(type))));
    this.#workers.delete(worker);
    this.#running.set(this.#workers.size);
    if (died) this.#deaths.inc();
    for (const asked of this.#asked.values()) if (asked.worker === worker) asked.answered();
  }

  /** Takes what a worker process answered. */
  told(id: number, metrics: MetricsJson): void {
    const asked = this.#asked.get(id);
    if (!asked) return;
    if (this.#workers.has(asked.worker)) this.#workers.set(asked.worker, metrics);
    asked.answered();
  }

  /** Asks all of them, and makes one page of it in Prometheus's text format. */
  async page(): Promise<string> {
    await Promise.all([...this.#workers.keys()].map((worker) => this.#refresh(worker)));
    this.#gone.push(await AggregatorRegistry.aggregate(this.#gone.splice(0)).getMetricsAsJSON());
    const own = await this.#own.getMetricsAsJSON();
    return AggregatorRegistry.aggregate([own, ...this.#gone, ...this.#workers.values()]).metrics();
  }

  #refresh(worker: number): Promise<void> {
    return new Promise((resolve) => {
      this.#lastId += 1;
      const id = this.#lastId;
      const answered = () => {
        clearTimeout(timer);
        this.#asked.delete(id);
        resolve();
      };
      const timer = setTimeout(answered, answerWithinMs);
      this.#asked.set(id, { worker, answered });
      this.#ask(worker, id);
    });
  }
}
