import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

/** What an upload needs to know of an API. */
export interface UploadTo {
  /** `http://host:port` */
  address: string;
  apiKey: string;
}

/** An upload whose rows are written one after another. */
export interface StartedUpload {
  /** Writes a part of the file; resolves once the socket takes more. */
  write(part: string | Buffer): Promise<void>;
  /** Ends the file. */
  end(): void;
  /** Cuts the connection. */
  cut(): void;
  /** The status and headers of the answer, as soon as they are there. */
  answered: Promise<IncomingMessage>;
  /** The first line of the answer, which holds all of it, as soon as it is there. */
  accepted: Promise<AcceptedFile>;
  /** All of the answer; rejects if the connection breaks before its end. */
  whole: Promise<{ status: number; body: Record<string, unknown> }>;
  request: ClientRequest;
}

export interface AcceptedFile {
  noticeId: string;
  path: string;
  orders: number;
  duplicates: number;
  state: string;
  links: Record<string, string>;
}

/** Begins to upload a file; headers that are undefined are left out. */
export function startUpload(
  { address, apiKey }: UploadTo,
  { key, headers = {} }: { key?: string | undefined; headers?: Record<string, string> } = {},
): StartedUpload {
  const sending = request(`${address}/v1/delay-notices/import`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'text/csv',
      ...(key !== undefined && { 'idempotency-key': key }),
      ...headers,
    },
  });
  sending.flushHeaders();
  const answered = once(sending, 'response').then(([response]) => response as IncomingMessage);
  let firstLine = '';
  const accepted = answered.then(
    (response) =>
      new Promise<AcceptedFile>((resolve) => {
        response.on('data', (part: Buffer) => {
          firstLine += part.toString();
          const [line, rest] = firstLine.split('\n', 2);
          if (rest !== undefined) resolve(JSON.parse(line ?? '') as AcceptedFile);
        });
      }),
  );
  const whole = answered.then(async (response) => ({
    status: response.statusCode ?? 0,
    body: JSON.parse(await text(response)) as Record<string, unknown>,
  }));
  // Whoever asks for them hears of what went wrong; nobody has to.
  for (const each of [answered, accepted, whole]) each.catch(() => undefined);
  sending.on('error', () => undefined);
  return {
    async write(part) {
      if (sending.destroyed || sending.write(part)) return;
      await new Promise<void>((resolve) => {
        const goOn = () => {
          sending.off('drain', goOn).off('close', goOn);
          resolve();
        };
        sending.on('drain', goOn).on('close', goOn);
      });
    },
    end: () => sending.end(),
    cut: () => sending.destroy(),
    answered,
    accepted,
    whole,
    request: sending,
  };
}

/** Uploads a file as a whole. */
export async function upload(
  to: UploadTo,
  file: string | Buffer | Iterable<string>,
  options: Parameters<typeof startUpload>[1] = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const started = startUpload(to, options);
  for (const part of typeof file === 'string' || Buffer.isBuffer(file) ? [file] : file)
    await started.write(part);
  started.end();
  return started.whole;
}

export const csvHeader = 'order_id,new_ship_date,reason,detail\n';

/** A CSV of orders, all with one wish unless `rowOf` says otherwise. */
export const aCsv = (orderIds: Iterable<string>, rest = '2026-11-29,WEATHER,') =>
  csvHeader + Array.from(orderIds, (orderId) => `${orderId},${rest}\n`).join('');

/** Ids `o-0`, `o-1`, … */
export const ids = (count: number, from = 0) => Array.from({ length: count }, (_, at) => `o-${from + at}`);
