import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** A file, or standard input, as text. */
export interface TextSource {
  /** Bytes of the file, compressed as it lies there; undefined for standard input. */
  totalBytes: number | undefined;
  /** Bytes of it read so far. */
  bytesRead(): number;
  /** Reads it as text; unreadable bytes become U+FFFD. Whether it is gzipped is told by its content. To be called once. */
  text(encoding: string): AsyncGenerator<string>;
}

const chunkBytes = 256 * 1024;

/** Opens a file, or standard input if it is called `-`. Throws an error that names the file if there is none. */
export async function openSource(file: string, input: Readable = process.stdin): Promise<TextSource> {
  const fromInput = file === '-';
  const stats = fromInput
    ? undefined
    : await stat(file).catch((error: NodeJS.ErrnoException) => {
        throw new Error(
          error.code === 'ENOENT' ? `There is no file ${file}.` : `${file} can't be read: ${error.message}`,
          { cause: error },
        );
      });
  if (stats?.isDirectory()) throw new Error(`${file} is a folder; expected a CSV file, gzipped or not.`);
  let bytesRead = 0;

  return {
    totalBytes: stats?.size,
    bytesRead: () => bytesRead,
    async *text(encoding) {
      const decoder = new TextDecoder(encoding);
      const bytes = counted(fromInput ? input : createReadStream(file, { highWaterMark: chunkBytes }));
      try {
        for await (const chunk of await plain(bytes)) yield decoder.decode(chunk, { stream: true });
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        const why = code === 'Z_BUF_ERROR' ? 'it is gzipped, and its end is missing' : message;
        throw new Error(`${fromInput ? 'standard input' : file} can't be read: ${why}`, { cause: error });
      }
      const last = decoder.decode();
      if (last !== '') yield last;
    },
  };

  async function* counted(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of stream) {
      bytesRead += chunk.length;
      yield chunk;
    }
  }
}

/** Gunzips what begins as a gzip file does (RFC 1952), and gives back the rest as it is. */
async function plain(bytes: AsyncGenerator<Buffer>): Promise<AsyncIterable<Buffer>> {
  let head = Buffer.alloc(0);
  for (let next = await bytes.next(); !next.done; next = await bytes.next()) {
    head = Buffer.concat([head, next.value]);
    if (head.length >= 2) break;
  }
  const all = (async function* () {
    if (head.length > 0) yield head;
    yield* bytes;
  })();
  if (head[0] !== 0x1f || head[1] !== 0x8b) return all;
  const gunzip = createGunzip({ chunkSize: chunkBytes });
  // What goes wrong reaches whoever reads `gunzip`.
  pipeline(Readable.from(all, { objectMode: false }), gunzip, () => undefined);
  return gunzip;
}
