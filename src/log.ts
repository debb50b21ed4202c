import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { masked } from './masking.ts';

/** Texts of fields that hold a secret, however deep they lie: a line is JSON when this sees it. */
const secretFields = /("(?:apiKey|authorization|password)":)"(?:[^"\\]|\\.)*"/gi;

/**
 * Opens the log of a process: one JSON object per line on standard output, made pretty on a terminal.
 *
 * Phone numbers, mail addresses and API keys are masked in whatever is written, also inside texts and stacks; URLs lose their
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

const withoutSecrets = (line: string) => masked(line.replaceAll(secretFields, '$1"…"'));
