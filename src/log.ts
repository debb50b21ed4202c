import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { masked } from './masking.ts';

/** Texts of fields that hold a secret, however deep they lie: a line is JSON when this sees it. */
const secretFields = /("(?:apiKey|authorization|password)":)"(?:[^"\\]|\\.)*"/gi;

/** So many characters may wait for a slow reader of standard output; what comes then is dropped, or it would fill the memory. */
const maxWaitingLength = 8 * 1_024 * 1_024;

/** How long a process that ends waits for a reader who takes nothing more, in ms. */
const patienceMs = 500;

/**
 * Opens the log of a process: one JSON object per line on standard output, made pretty on a terminal.
 *
 * Where nobody reads on, lines are dropped beyond 8 MB, and counted in the next that comes through.
 *
 * Phone numbers, mail addresses and API keys are masked in whatever is written, also inside texts and stacks; URLs lose their
 * passwords, and fields called `apiKey`, `authorization` or `password` their text.
 */
export function openLog(options: { level: string; destination?: { write(line: string): void } }): Logger {
  if (options.destination) return logTo(options.destination, options.level);
  if (process.stdout.isTTY)
    return logTo(pretty({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' }), options.level);
  const output = openOutput();
  const log = logTo(output, options.level);
  let dropped = 0;
  output.on('drop', () => dropped++);
  const tell = () => {
    if (dropped === 0) return;
    const lines = dropped;
    log.warn({ lines }, 'whoever reads this log was too slow: lines are missing before this one');
    dropped = dropped === lines ? 0 : lines; // or this one was dropped as well
  };
  output.on('write', () => setImmediate(tell));
  return log;
}

/**
 * Opens standard output for a log, so that a process can end though nobody reads: pino writes what waits at the exit, and
 * before a fatal line returns, and would try that on a full pipe without end.
 */
function openOutput() {
  /** When to give up, and how much waited when that was put off last; undefined: it is written while other things happen. */
  let patience: { until: number; left: number } | undefined;
  const output = pino.destination({
    fd: 1,
    sync: false,
    maxLength: maxWaitingLength,
    // The pipe is full.
    retryEAGAIN: (_error, ...waiting) => {
      const left = waiting[0] + waiting[1];
      if (patience && left !== patience.left) patience = { until: performance.now() + patienceMs, left };
      return !patience || performance.now() < patience.until;
    },
  });
  const flushSync = output.flushSync.bind(output);
  output.flushSync = () => {
    patience = { until: performance.now() + patienceMs, left: -1 };
    try {
      flushSync();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error; // else these lines are lost
    } finally {
      patience = undefined;
    }
  };
  return output;
}

function logTo(target: { write(line: string): void }, level: string): Logger {
  return pino(
    {
      level,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: withoutSecrets },
    },
    target,
  );
}

const withoutSecrets = (line: string) => masked(line.replaceAll(secretFields, '$1"…"'));
