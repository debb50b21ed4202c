import type { Logger } from 'pino';
import { openLog } from '../../src/log.ts';

/** A line of the log, parsed. */
export interface LogLine {
  level: string;
  time: string;
  msg: string;
  step?: string;
  orders?: number;
  attempt?: number | 'unchanged';
  noticeId?: string;
  err?: { type: string; message: string; stack: string };
}

/** The log of Chodang as it writes it, kept for tests to look at. */
export interface KeptLog {
  log: Logger;
  lines: LogLine[];
  /** The lines with this message, and of this step if one is named. */
  said(msg: string, step?: string): LogLine[];
}

/** Opens a log that keeps every line, from level `info` on. */
export function keptLog(): KeptLog {
  const lines: LogLine[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line) as LogLine) };
  return {
    log: openLog({ level: 'info', destination }),
    lines,
    said: (msg, step) => lines.filter((line) => line.msg === msg && (!step || line.step === step)),
  };
}

/** What the log says of orders and circuits; see `src/observer.ts`. */
export const says = {
  waiting: 'orders wait to be tried again',
  open: 'the circuit is open: a server this step needs is away',
  closed: 'the circuit is closed again',
  gaveUp: 'orders were given up',
  failed: 'a message failed; see `chodang failed list`',
  held: 'failed messages could not be recorded; they wait',
} as const;
