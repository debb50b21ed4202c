import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';

/** Phone numbers (E.164) and API keys, wherever they stand in a line. */
const secrets = /\+\d{8,15}(?!\d)|\bchd_[A-Za-z0-9_-]+/g;

/** Texts of fields that hold a secret, however deep they lie: a line is JSON when this sees it. */
const secretFields = /("(?:apiKey|authorization|password)":)"(?:[^"\\]|\\.)*"/gi;

const mask = (secret: string) =>
  secret.startsWith('+') ? `${secret.slice(0, 3)}…${secret.slice(-2)}` : 'chd_…';

/**
 * Opens the log of a process: one JSON object per line on standard output, made pretty on a terminal.
 *
 * Phone numbers and API keys are masked in whatever is written, also inside texts and stacks; URLs lose their
 * passwords, and fields called `apiKey`, `authorization` or `password` their text.
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
      hooks: { streamWrite: withoutSecrets },
    },
    target,
  );
}

const withoutSecrets = (line: string) =>
  line
    .replaceAll(secretFields, '$1"…"')
    .replaceAll(secrets, mask)
    .replaceAll(/(\w+:\/\/[^:@/\s"]*):[^@/\s"]+@/g, '$1:…@');
