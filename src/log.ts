import { constants, fstatSync, openSync } from 'node:fs';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { masked } from './masking.ts';

/** Texts of fields that hold a secret, however deep they lie: a line is JSON when this sees it. */
const secretFields = /("(?:apiKey|authorization|password)":)"(?:[^"\\]|\\.)*"/gi;

/** So many bytes may wait for a slow reader of standard output; what comes then is dropped, or it would fill the memory. */
const maxWaitingBytes = 4 * 1_024 * 1_024;

/** So many bytes are written to a pipe as a whole, or not at all (`PIPE_BUF` of Linux): no other process's line gets in between. */
const atomicBytes = 4_096;

/** When to try again to write to a full pipe, in ms. */
const retryMs = 10;

/** How long a process that ends, or has a fatal line to tell, is held up by a slow reader, in ms. */
const patienceMs = 2_000;

/**
 * Opens the log of a process: one JSON object per line on standard output, made pretty on a terminal.
 *
 * Where nobody reads on, lines are dropped beyond 4 MB, and counted in the next that comes through.
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
    log.error({ lines }, 'whoever reads this log was too slow: lines are missing before this one');
    dropped = dropped === lines ? 0 : lines; // or this one was dropped as well
  };
  output.on('write', () => {
    if (dropped > 0) setImmediate(tell);
  });
  process.once('exit', () => {
    const until = performance.now() + patienceMs;
    output.writeUntil(until);
    tell();
    output.writeUntil(until);
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
    fd: ownPipe() ?? 1,
    sync: true,
    minLength: 1, // with 0 `flush` would do nothing
    maxWrite: atomicBytes,
    maxLength: maxWaitingBytes,
    retryEAGAIN: () => false,
  });
  const write = output.write.bind(output);
  output.write = (line) => {
    neverBlock();
    return write(line);
  };
  let waits = false;
  let timer: NodeJS.Timeout | undefined;
  /** Tries once, and tells whether any still waits. */
  const again = () => {
    clearTimeout(timer);
    timer = undefined;
    waits = false;
    neverBlock();
    output.flush();
    return waits;
  };
  output.removeAllListeners('error'); // pino's own is gone after the first that is not EPIPE
  output.on('error', ({ code }: NodeJS.ErrnoException) => {
    waits = code !== 'EPIPE';
    if (waits) timer ??= setTimeout(again, retryMs).unref();
    else output.write = () => true; // nobody will read again
  });
  // Whoever read has gone: that is no reason to end, whoever else writes here.
  process.stdout.on('error', () => undefined);

  const writeUntil = (until: number) => {
    if (!waits) return;
    while (again() && performance.now() < until) holdUp(retryMs);
  };
  // pino calls this before a fatal line returns.
  return Object.assign(output, { writeUntil, flushSync: () => writeUntil(performance.now() + patienceMs) });
}

/**
 * Opens standard output once more, if it is a pipe: whether a write to a full one is refused, or waits, is the same for all
 * processes that have it, as worker processes do, and each that starts or ends with it makes it wait. Nothing changes what
 * we opened ourselves.
 */
function ownPipe(): number | undefined {
  try {
    if (!fstatSync(1).isFIFO()) return undefined;
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // no Linux, or a pipe of another user
  }
}

/** The same for what can't be opened once more, as the sockets of a service manager: it holds until another process starts or ends. */
function neverBlock(): void {
  const { _handle: handle } = process.stdout as { _handle?: { setBlocking?(blocking: boolean): void } };
  handle?.setBlocking?.(false);
}

function holdUp(ms: number): void {
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
