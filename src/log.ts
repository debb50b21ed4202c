import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { masked } from './masking.ts';

/** Texts of fields that hold a secret, however deep they lie: a line is JSON when this sees it. */
const secretFields = /("(?:apiKey|authorization|password)":)"(?:[^"\\]|\\.)*"/gi;

/** So many characters may wait for a slow reader of standard output; what comes then is dropped, or it would fill the memory. */
const maxWaitingLength = 8 * 1_024 * 1_024;

/** When to try again to write to a full pipe, in ms. */
const retryMs = 10;

/** How long a process that ends waits for a reader who takes nothing more, in ms. */
const patienceMs = 1_000;

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
  output.on('write', () => {
    if (dropped > 0) setImmediate(tell);
  });
  process.once('exit', () => {
    output.flushSync();
    if (dropped === 0) return;
    tell();
    output.flushSync();
  });
  return log;
}

/**
 * Opens standard output for a log. A line is written before the call that logs it returns, or waits while that can't be: then
 * it is written later, at the exit at the latest, as long as somebody reads.
 *
 * Left to itself sonic-boom either writes behind the caller's back, and loses at the exit what it is writing then, or sleeps
 * while the pipe is full, at the exit without end. So it tries once, and when to try again is decided here.
 */
function openOutput() {
  const output = pino.destination({
    fd: 1,
    sync: true,
    minLength: 1, // with 0 `flush` would do nothing
    maxLength: maxWaitingLength,
    retryEAGAIN: () => false,
  });
  const write = output.write.bind(output);
  output.write = (line) => {
    neverBlock();
    return write(line);
  };
  const last = { waits: false, written: false };
  let timer: NodeJS.Timeout | undefined;
  const again = () => {
    clearTimeout(timer);
    timer = undefined;
    last.waits = last.written = false;
    neverBlock();
    output.flush();
    return last;
  };
  output.on('write', () => {
    last.written = true;
  });
  output.removeAllListeners('error'); // pino's own is gone after the first that is not EPIPE
  output.on('error', ({ code }: NodeJS.ErrnoException) => {
    last.waits = code !== 'EPIPE';
    if (last.waits) timer ??= setTimeout(again, retryMs).unref();
    else output.write = () => true; // nobody will read again
  });

  // pino calls it as well, before a fatal line returns.
  output.flushSync = () => {
    let until = performance.now() + patienceMs;
    while (last.waits && again().waits) {
      if (last.written) until = performance.now() + patienceMs;
      else if (performance.now() > until) return;
      pause(retryMs);
    }
  };
  return output;
}

/**
 * Makes standard output answer EAGAIN when it is a full pipe, or a write would hold the process up: whether a pipe does is the
 * same for all processes that have it, and each that is started with it, or ends, makes it block.
 */
function neverBlock(): void {
  const { _handle: handle } = process.stdout as { _handle?: { setBlocking?(blocking: boolean): void } };
  handle?.setBlocking?.(false);
}

/** Holds the process up. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
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
