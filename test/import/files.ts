import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { loadMappings, type Mapping } from '../../src/import/mapping.ts';
import { type ReadBatch, readOrders } from '../../src/import/read.ts';
import { openSource } from '../../src/import/source.ts';
import { aToday } from '../support/makers.ts';

/** Real orders that lie beside the project, where they may; never in it. */
export const realOrders = fileURLToPath(
  new URL('../../../shared/data/olist-order-seller-dispatch.csv.gz', import.meta.url),
);

/** Skips a test, and says why, where the real orders are not there. */
export function needRealOrders(test: Mocha.Context): void {
  if (existsSync(realOrders)) return;
  process.stdout.write(`      (${realOrders} is not there: it is not part of the project)\n`);
  test.skip();
}

const shop = { today: aToday, timeZone: 'Asia/Seoul', locale: 'ko' };

/** Opens what `content` holds as a file of orders, in chunks of `chunkSize` bytes. */
export async function openOrders(
  content: string | Buffer,
  options: { mappings?: Mapping[]; wanted?: string; chunkSize?: number } = {},
) {
  const { mappings = loadMappings(), wanted, chunkSize = 7 } = options;
  const bytes = Buffer.from(content);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkSize) chunks.push(bytes.subarray(at, at + chunkSize));
  return readOrders(await openSource('-', Readable.from(chunks)), { ...shop, mappings, wanted });
}

/** Reads all rows of a file of orders. */
export async function readAll(...args: Parameters<typeof openOrders>): Promise<ReadBatch> {
  const file = await openOrders(...args);
  const all: ReadBatch = { rows: [], rejects: [] };
  for await (const { rows, rejects } of file.batches()) {
    all.rows.push(...rows);
    all.rejects.push(...rejects);
  }
  return all;
}

/** Reads the real orders. */
export async function readRealOrders(): Promise<ReadBatch> {
  const file = await readOrders(await openSource(realOrders), { ...shop, mappings: loadMappings() });
  const all: ReadBatch = { rows: [], rejects: [] };
  for await (const { rows, rejects } of file.batches()) {
    all.rows.push(...rows);
    all.rejects.push(...rejects);
  }
  return all;
}
