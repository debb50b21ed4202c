import type { Registry } from 'prom-client';
import type { SharePage } from '../metrics.ts';
import type { FromWorker, ToWorker } from './workerMessages.ts';

/** How long the primary process may take to make the page of metrics, in ms. */
const pageWithinMs = 5_000;

/** A worker process's side of what it has to say to the primary one. */
export interface Worker {
  tell(message: FromWorker): void;
  /** Has the primary process make the page of `/metrics`, and tells it ours. */
  sharePage: SharePage;
  /** Lets go of the primary process, so that this one can end by itself. */
  leave(): void;
}

/** Listens to the primary process; `stop` is called when that wants this one to end. */
export function asWorker(stop: () => void): Worker {
  const pages = new Map<number, (page: string | null) => void>();
  let own: Registry | undefined;
  let lastId = 0;

  const onMessage = (message: ToWorker) => {
    if (message.kind === 'stop') stop();
    else if (message.kind === 'page') pages.get(message.id)?.(message.page);
    else if (message.kind === 'wants metrics') void answer(message.id);
  };
  const answer = async (id: number) => {
    tell({ kind: 'metrics', id, metrics: (await own?.getMetricsAsJSON()) ?? [] });
  };
  process.on('message', onMessage);

  return {
    tell,
    sharePage(registry) {
      own = registry;
      return {
        metrics: () =>
          new Promise((resolve, reject) => {
            lastId += 1;
            const id = lastId;
            const settle = (page: string | null) => {
              clearTimeout(timer);
              pages.delete(id);
              if (page === null) reject(new Error('the primary process did not make the page of metrics'));
              else resolve(page);
            };
            const timer = setTimeout(() => settle(null), pageWithinMs);
            pages.set(id, settle);
            tell({ kind: 'wants page', id });
          }),
      };
    },
    leave() {
      process.off('message', onMessage);
      process.channel?.unref();
    },
  };
}

/** With the primary process gone, nobody is left to tell; Node ends this one then. */
function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}
