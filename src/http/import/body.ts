import { finished, pipeline, Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { invalidRequest, Problem } from '../problem.ts';

export interface BodyOptions {
  gzipped: boolean;
  /** Bytes at most, unpacked. */
  limitBytes: number;
  /** Without a byte for so long, while we wait for one, the sender is taken for gone; in ms. */
  idleMs: number;
  /** Ends the reading: what it was aborted with is thrown. */
  signal: AbortSignal;
}

/**
 * Reads a request's body as text, as fast as it is asked for and no faster: nothing is read ahead but what the
 * socket and the stream hold (some 100 KB), so a sender is held up by TCP itself.
 *
 * Bytes that aren't UTF-8 become U+FFFD. Throws the problem `body-too-large`; `invalid-request` where gzip is
 * broken; an error if the connection breaks or falls silent. However it ends, the request itself stays open, for
 * the answer.
 */
export async function* textOf(body: Readable, options: BodyOptions): AsyncGenerator<string> {
  const { gzipped, limitBytes } = options;
  const decoder = new StringDecoder('utf8');
  let bytes = 0;
  let begun = false;
  for await (const chunk of gzipped ? unpacked(bytesOf(body, options)) : bytesOf(body, options)) {
    bytes += chunk.length;
    if (bytes > limitBytes)
      throw new Problem(
        'body-too-large',
        `The file has more than ${limitBytes.toLocaleString('en-US')} bytes. Split it into several.`,
      );
    let text = decoder.write(chunk);
    if (text === '') continue;
    if (!begun && text.startsWith('\ufeff')) text = text.slice(1);
    begun = true;
    yield text;
  }
  const last = decoder.end();
  if (last !== '') yield last;
}

const doNothing = () => {};

/** What a stream's own iterator does, which would destroy the request, and with it the answer. */
async function* bytesOf(body: Readable, { signal, idleMs }: BodyOptions): AsyncGenerator<Buffer> {
  let wake: () => void = doNothing;
  let end: { error: Error | null | undefined } | undefined;
  const onReadable = () => wake();
  const stopListening = finished(body, { writable: false }, (error) => {
    end = { error };
    wake();
  });
  body.on('readable', onReadable);
  signal.addEventListener('abort', onReadable);
  try {
    for (;;) {
      signal.throwIfAborted();
      const chunk = body.destroyed ? null : (body.read() as Buffer | null);
      if (chunk !== null) yield chunk;
      else if (end?.error) throw new Error('the connection broke', { cause: end.error });
      else if (end) return;
      else await somethingToRead();
    }
  } finally {
    stopListening();
    body.off('readable', onReadable);
    signal.removeEventListener('abort', onReadable);
  }

  function somethingToRead(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the sender was silent for ${idleMs / 1_000} seconds`)),
        idleMs,
      );
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function* unpacked(bytes: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 64 * 1024 });
  // What goes wrong reaches whoever reads `gunzip`.
  pipeline(Readable.from(bytes, { objectMode: false }), gunzip, () => undefined);
  try {
    yield* gunzip as AsyncIterable<Buffer>;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith('Z_')) throw error;
    throw invalidRequest([
      { pointer: '#', expected: 'a body packed by gzip, as Content-Encoding says', got: message },
    ]);
  }
}
