import { randomUUID } from 'node:crypto';
import type { Chunk } from './actor.ts';
import { MalformedError } from './errors.ts';

/** Headers of ours on a message. None of RabbitMQ's own `x-*` headers is ever published again. */
export const headerNames = {
  attempts: 'chodang-attempts',
  redelivered: 'chodang-redelivered',
  retry: 'chodang-retry',
  errorClass: 'chodang-error-class',
  errorMessage: 'chodang-error-message',
  errorStack: 'chodang-error-stack',
  step: 'chodang-step',
  lane: 'chodang-lane',
  attempt: 'chodang-attempt',
  publishedAt: 'chodang-published-at',
  failedAt: 'chodang-failed-at',
} as const;

/** What is published: bytes, where to, and our own headers. */
export interface Publication {
  exchange: string;
  routingKey: string;
  content: Buffer;
  /** `<step>.v1` */
  type: string;
  messageId: string;
  headers: Record<string, string | number>;
}

/** The type of the messages that a step takes. */
export const typeOf = (step: string) => `${step}.v1`;

/** Says how messages of a pipeline read, which the engine itself doesn't know. */
export type MessageFormat<Header, Item> = (ChunkFormat<Header, Item> | ForeignFormat<Header, Item>) &
  Names<Header, Item>;

/** The way our own messages are written: `{ "chunks": [ … ] }`, of type `<step>.v1`. */
interface ChunkFormat<Header, Item> {
  /** Checks one parsed chunk; throws an error that names the field that is wrong. */
  parseChunk(value: unknown): Chunk<Header, Item>;
}

/** Messages of others, which go on in the form they came in when they wait or fail. Their type is not looked at. */
interface ForeignFormat<Header, Item> {
  /** Reads a message into chunks that have items; throws an error that says what is wrong with it as a whole. */
  read(content: Buffer): Chunk<Header, Item>[];
  /** Writes what `read` reads. */
  write(chunks: readonly Chunk<Header, Item>[]): Buffer;
  /** How large a message may be, in bytes; a larger one is not read. */
  maxBytes: number;
}

/** What the engine must be able to say of headers and items. */
interface Names<Header, Item> {
  /** Names a header; items under headers of one name may be packed into one chunk. */
  headerKeyOf(header: Header): string;
  /** Names an item under its header; two of one name are one thing, and only the first runs. */
  itemKeyOf(item: Item): string;
  /** What a log line about this header should carry, e.g. the notice id. */
  logFieldsOf(header: Header): Record<string, string>;
}

/** Builds a message's bytes from chunks that are JSON already, so that nothing is serialized twice. */
export function joinChunks(chunks: readonly string[]): Buffer {
  return Buffer.from(`{"chunks":[${chunks.join(',')}]}`);
}

/** Reads a message's chunks; throws `MalformedError` saying what is wrong with it. */
export function readChunks<Header, Item>(
  format: MessageFormat<Header, Item>,
  step: string,
  message: { content: Buffer; type: string | undefined },
): Chunk<Header, Item>[] {
  if ('read' in format) {
    const { length } = message.content;
    if (length > format.maxBytes)
      throw new MalformedError(
        `expected a message of at most ${format.maxBytes.toLocaleString('en-US')} bytes, ` +
          `got ${length.toLocaleString('en-US')}: publish what it says again, in smaller ones`,
      );
    return orMalformed(() => format.read(message.content));
  }
  if (message.type !== typeOf(step))
    throw new MalformedError(`expected a message of type ${typeOf(step)}, got ${String(message.type)}`);
  let body: unknown;
  try {
    body = JSON.parse(message.content.toString('utf8'));
  } catch (cause) {
    throw new MalformedError(`expected JSON: ${(cause as Error).message}`, { cause });
  }
  const chunks = (body as { chunks?: unknown } | null)?.chunks;
  if (!Array.isArray(chunks) || chunks.length === 0)
    throw new MalformedError('expected { "chunks": [ … ] } with at least one chunk');
  return orMalformed(() =>
    chunks.map((chunk, at) => {
      const parsed = format.parseChunk(chunk);
      if (parsed.items.length === 0) throw new Error(`chunk ${at} has no items: expected at least one`);
      return parsed;
    }),
  );
}

/** Whatever a format finds wrong with a message is wrong for good. */
function orMalformed<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new MalformedError((cause as Error).message, { cause });
  }
}

/**
 * Packs items into as few messages as possible: items of one header share chunks of at most `chunkSize`
 * items, and chunks share messages of at most `chunkSize` items in all, whatever they came in.
 */
export function pack<Header, Item>(
  format: MessageFormat<Header, Item>,
  chunkSize: number,
  entries: readonly { header: Header; item: Item }[],
): Buffer[] {
  const byHeader = new Map<string, Chunk<Header, Item>>();
  let last: Chunk<Header, Item> | undefined; // neighbours have one header, mostly
  for (const { header, item } of entries) {
    if (last?.header !== header) {
      const key = format.headerKeyOf(header);
      last = byHeader.get(key) ?? { header, items: [] };
      byHeader.set(key, last);
    }
    last.items.push(item);
  }
  const messages: Chunk<Header, Item>[][] = [];
  let room = 0;
  for (const { header, items } of byHeader.values()) {
    for (let at = 0; at < items.length; ) {
      if (room === 0) {
        messages.push([]);
        room = chunkSize;
      }
      const some = items.slice(at, at + room);
      messages.at(-1)?.push({ header, items: some });
      at += some.length;
      room -= some.length;
    }
  }
  if ('write' in format) return messages.flatMap((chunks) => writeWithin(format, chunks));
  return messages.map((chunks) => Buffer.from(JSON.stringify({ chunks })));
}

/** Writes a message, or halves of it where it would be larger than a message may be. */
function writeWithin<Header, Item>(
  format: ForeignFormat<Header, Item>,
  chunks: readonly Chunk<Header, Item>[],
): Buffer[] {
  const whole = format.write(chunks);
  const single = chunks.flatMap(({ header, items }) => items.map((item) => ({ header, items: [item] })));
  if (whole.length <= format.maxBytes || single.length === 1) return [whole];
  const half = Math.ceil(single.length / 2);
  return [single.slice(0, half), single.slice(half)].flatMap((some) => writeWithin(format, some));
}

/**
 * Tells which attempt this delivery is: 1, plus the attempts it says it has behind it, plus the times this
 * step's queues rejected it. Expiries in `.retriable` and deaths in other steps don't count.
 */
export function attemptOf(step: string, headers: Record<string, unknown>): number {
  const before = headers[headerNames.attempts];
  const deaths = headers['x-death'];
  let attempt = 1 + (typeof before === 'number' ? before : 0);
  if (Array.isArray(deaths))
    for (const death of deaths as { reason?: unknown; queue?: unknown; count?: unknown }[])
      if (
        death.reason === 'rejected' &&
        String(death.queue).startsWith(`${step}.`) &&
        typeof death.count === 'number'
      )
        attempt += death.count;
  return attempt;
}

/** How many times RabbitMQ has had to take this message back from a consumer that vanished with it. */
export function deliveryCountOf(headers: Record<string, unknown>): number {
  const count = headers['x-delivery-count'];
  return typeof count === 'number' ? count : 0;
}

/** The retry that brought a message back from failed, by its headers; undefined for one that never was there. */
export function retryOf(headers: Record<string, unknown>): string | undefined {
  const retry = headers[headerNames.retry];
  return typeof retry === 'string' ? retry : undefined;
}

/** What must be known of an item wherever it goes from here. */
export interface Marks {
  /** An earlier delivery may have got as far as this one. */
  redelivered?: boolean | undefined;
  /** The retry that brought it back from failed. */
  retry?: string | undefined;
}

/** Writes marks as headers; none for what has none. */
export const markHeaders = ({ redelivered, retry }: Marks = {}): Record<string, string | number> => ({
  ...(redelivered && { [headerNames.redelivered]: 1 }),
  ...(retry !== undefined && { [headerNames.retry]: retry }),
});

export function publicationTo(
  exchange: string,
  step: string,
  lane: string,
  content: Buffer,
  headers: Record<string, string | number> = {},
): Publication {
  return {
    exchange,
    routingKey: `${step}.${lane}`,
    content,
    type: typeOf(step),
    messageId: randomUUID(),
    headers,
  };
}

/** RabbitMQ limits a message's headers to one frame (128 KiB): long texts are cut, saying so. */
const cut = (text: string, length: number) =>
  text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`;

/** The headers that carry a failure's error to `<step>.failed`. */
export function failureHeaders(
  step: string,
  lane: string,
  error: Error,
  attempt: number,
  publishedAt: number | undefined,
): Record<string, string | number> {
  return {
    [headerNames.errorClass]: error.name,
    [headerNames.errorMessage]: cut(error.message, 2_000),
    [headerNames.errorStack]: cut(error.stack ?? '', 8_000),
    [headerNames.step]: step,
    [headerNames.lane]: lane,
    [headerNames.attempt]: attempt,
    ...(isTime(publishedAt) && { [headerNames.publishedAt]: new Date(publishedAt).toISOString() }),
    [headerNames.failedAt]: new Date().toISOString(),
  };
}

/** Others may give ms where AMQP has s, which would be a time that neither Postgres nor a `Date` can write. */
const isTime = (ms: number | undefined): ms is number =>
  ms !== undefined && ms >= 0 && ms < 253_402_300_800_000;
