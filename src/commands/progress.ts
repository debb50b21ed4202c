import { Presets, SingleBar } from 'cli-progress';

/** How far something is, on standard error. */
export interface Progress {
  /** `done` of the total; `told` are words to go with it. */
  update(done: number, told?: string): void;
  /** Ends the bar; nothing may follow. */
  stop(): void;
}

const silent: Progress = { update: () => undefined, stop: () => undefined };
const lineEveryMs = 1_000;

/**
 * Shows progress towards `total`: a bar on a terminal, elsewhere nothing, or with `lines` a line about every second.
 */
export function showProgress(title: string, total: number, { lines = false } = {}): Progress {
  if (!process.stderr.isTTY) return lines ? asLines(title, total) : silent;
  const bar = new SingleBar(
    {
      format: `${title.padEnd(9)} {bar} {percentage} %  {told}`,
      stream: process.stderr,
      fps: 20,
      // Ctrl-C is for the command to handle.
      gracefulExit: false,
    },
    Presets.shades_classic,
  );
  bar.start(Math.max(total, 1), 0, { told: '' });
  return {
    update: (done, told = '') => bar.update(Math.min(done, Math.max(total, 1)), { told }),
    stop: () => bar.stop(),
  };
}

function asLines(title: string, total: number): Progress {
  let last = performance.now();
  return {
    update(done, told = '') {
      if (performance.now() - last < lineEveryMs) return;
      last = performance.now();
      const percent = Math.floor((100 * done) / Math.max(total, 1));
      process.stderr.write(`${title} ${percent} %${told === '' ? '' : `  ${told}`}\n`);
    },
    stop: () => undefined,
  };
}

/** Writes a whole number for people: 30,000. */
export const count = (n: number) => n.toLocaleString('en-US');
