import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClientOptions, readNotice, type ToldProgress } from '../http/client.ts';
import type { Format } from '../http/import/file.ts';
import { openRejectedRows, sendFile } from '../http/import/send.ts';
import { count, showProgress } from './progress.ts';

export interface ImportOptions {
  format?: Format;
  idempotencyKey?: string;
  rejects?: string;
  wait?: boolean;
  json?: boolean;
}

/** How often a file is sent again that got no further. */
const tries = 6;
const lookEveryMs = 1_000;

/** Runs `chodang notice import`: sends a file as a seller does, and says what became of its rows. */
export async function importFile(file: string, client: ClientOptions, options: ImportOptions): Promise<void> {
  const fromInput = file === '-';
  const totalBytes = fromInput ? 0 : await sizeOf(file);
  const idempotencyKey = options.idempotencyKey ?? (fromInput ? randomUUID() : `file-${await hashOf(file)}`);
  const say = (line: string) => (options.json ? process.stderr : process.stdout).write(`${line}\n`);
  const startedAt = performance.now();
  const progress = showProgress('sending', totalBytes);
  let noticeId: string | undefined;
  try {
    const accepted = await sendFile({
      ...client,
      idempotencyKey,
      format: options.format ?? formatOf(file),
      gzipped: file.endsWith('.gz'),
      open: () => (fromInput ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 })),
      tries: fromInput ? 0 : tries,
      onAccepted(answer) {
        if (noticeId === undefined)
          say(
            `${process.stderr.isTTY ? '\n' : ''}Notice ${answer.noticeId} comes in, path ${answer.path}.\n` +
              `How far it is: chodang notice show ${answer.noticeId}`,
          );
        noticeId = answer.noticeId;
      },
      onSent: (bytes) => progress.update(bytes, noticeId ?? ''),
      onBroken: (error) => process.stderr.write(`${error.message}\nIt is sent again.\n`),
    });
    noticeId = accepted.noticeId;
  } catch (error) {
    throw new Error(
      `${(error as Error).message}\nTo go on, send the same file again with --idempotency-key ${idempotencyKey}: the rows that are safe are passed over.`,
      { cause: error },
    );
  } finally {
    progress.stop();
  }
  const seconds = Math.round((performance.now() - startedAt) / 10) / 100;
  const received = options.wait ? await settled(client, noticeId) : await readNotice(client, noticeId);
  const rejectsFile = await saveRejects(client, received, options.rejects);
  show(options, { ...received, idempotencyKey, seconds, rejectsFile });
  if (rejectedRowsOf(received) > 0) process.exitCode = 2;
}

/** The format that a file's name says it has: CSV, unless it ends in .ndjson or .jsonl. */
const formatOf = (file: string): Format => (/\.(ndjson|jsonl)(\.gz)?$/.test(file) ? 'ndjson' : 'csv');

async function sizeOf(file: string): Promise<number> {
  const stats = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can't be read: ${error.message}`,
      { cause: error },
    );
  });
  if (stats.isDirectory()) throw new Error(`${file} is a folder; expected a CSV or NDJSON file.`);
  return stats.size;
}

/** One file is one notice, whoever sends it again: its key is made of its content. */
async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), hash);
  return hash.digest('hex');
}

async function settled(client: ClientOptions, noticeId: string): Promise<ToldProgress> {
  const progress = showProgress('settling', 100);
  try {
    for (;;) {
      const notice = await readNotice(client, noticeId);
      const { orders, counts } = notice;
      const done = Object.values(counts).reduce((sum, n) => sum + n, 0) - counts.delayed;
      progress.update((100 * done) / Math.max(orders, 1), `${count(done)} of ${count(orders)} orders`);
      if (notice.state === 'settled') return notice;
      await sleep(lookEveryMs);
    }
  } finally {
    progress.stop();
  }
}

async function saveRejects(
  client: ClientOptions,
  notice: ToldProgress,
  file: string | undefined,
): Promise<string | null> {
  if (file === undefined || rejectedRowsOf(notice) === 0) return null;
  // Only the owner may read it: rows have what customers are told.
  await pipeline(await openRejectedRows(client, notice.noticeId), createWriteStream(file, { mode: 0o600 }));
  return file;
}

const rejectedRowsOf = ({ rejectedRows = 0 }: ToldProgress) => rejectedRows;

type Outcome = ToldProgress & { idempotencyKey: string; seconds: number; rejectsFile: string | null };

function show({ json }: ImportOptions, outcome: Outcome): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    return;
  }
  const { noticeId, orders, duplicates, counts, seconds, rejectsFile } = outcome;
  const rejected = rejectedRowsOf(outcome);
  const perSecond = count(Math.round((orders + duplicates + rejected) / Math.max(seconds, 0.001)));
  const lines = [
    `Received in ${seconds} s (${perSecond} rows per second): ${count(orders)} orders, ${count(duplicates)} repeats left out.`,
  ];
  if (rejected > 0)
    lines.push(
      `${count(rejected)} rows could not be used; why, line by line: ` +
        (rejectsFile ??
          `GET /v1/delay-notices/${noticeId}/rejected-rows, or run this again with --rejects FILE`),
    );
  const told = Object.entries(counts).filter(([, n]) => n > 0);
  if (told.length > 0) lines.push(`So far: ${told.map(([state, n]) => `${state} ${count(n)}`).join(', ')}.`);
  process.stdout.write(`${lines.join('\n')}\n`);
}
