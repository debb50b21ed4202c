import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';

/** Phone numbers (E.164) and API keys, wherever they stand in a line. */
const secrets = /\+\d{8,15}(?!\d)|\bchd_[A-Za-z0-9_-]+/g;

const mask = (secret: string) =>
  secret.startsWith('+') ? `${secret.slice(0, 3)}…${secret.slice(-2)}` : 'chd_…';

/**
 * Opens the log of a process: one JSON object per line on standard output, made pretty on a terminal.
 *
 * Phone numbers and API keys are masked in whatever is written, also inside texts and stacks; URLs lose their
 * passwords.
 */
export function openLog(options: { level: string; destination?: { write(line: string): void } }): Logger {
  const target =
    options.destination ??
    (process.stdout.isTTY
      ? pretty({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
      : pino.destination({ fd: 1, sync: false }));
  return pino(
    {
      level: options.level,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: ['*.authorization', 'headers.authorization', 'req.headers.authorization', 'apiKey', '*.apiKey'],
      hooks: { streamWrite: (line) => withoutPasswords(line.replaceAll(secrets, mask)) },
    },
    target,
  );
}

const withoutPasswords = (line: string) => line.replaceAll(/(\w+:\/\/[^:@/\s"]+):[^@/\s"]+@/g, '$1:…@');
