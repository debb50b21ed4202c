import type { Duplex } from 'node:stream';
import type { ChannelModel } from 'amqplib';

/** While a connection isn't read, so often some of it is, all the same: in ms. Its heartbeats come the same way. */
const breathMs = 1_000;

/**
 * Reads a connection no further while more than `maxBytes` of the messages that came on it are not settled: what else
 * RabbitMQ has sent stays in the sockets, and then with RabbitMQ.
 *
 * How many messages may come is agreed on beforehand, for each consumer, whatever their size; so this is what holds where
 * small ones are followed by large ones.
 */
export class Reading {
  readonly #maxBytes: number;
  #heldBytes = 0;
  #stream: Duplex | undefined;
  /** Somebody wanted to read, and was told that there is nothing. */
  #stopped = false;
  #breath: NodeJS.Timeout | undefined;
  #mayBreathe = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Watches over this connection from now on: the one before is gone. */
  watch(model: ChannelModel): void {
    // amqplib pulls what it reads from here, whenever this says that it is readable, until it gives null.
    const { stream } = model.connection as unknown as { stream: Duplex };
    const read = stream.read.bind(stream);
    this.#stream = stream;
    stream.read = (size?: number) => (this.#stops(stream) ? null : read(size));
    stream.once('close', () => {
      if (this.#stream === stream) this.#goOn();
    });
  }

  /** Takes note of a message that came. */
  came(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Takes note that messages are settled, or RabbitMQ's again. */
  settled(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#stopped && this.#heldBytes <= this.#maxBytes) setImmediate(() => this.#goOn());
  }

  /** Whether it isn't read now: an answer may be among what waits. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  #stops(stream: Duplex): boolean {
    if (stream !== this.#stream || this.#heldBytes <= this.#maxBytes) return false;
    if (this.#mayBreathe) {
      this.#mayBreathe = false;
      return false;
    }
    this.#stopped = true;
    this.#breath ??= setInterval(() => {
      this.#mayBreathe = true;
      stream.emit('readable');
    }, breathMs).unref();
    return true;
  }

  #goOn(): void {
    this.#stopped = false;
    this.#mayBreathe = false;
    clearInterval(this.#breath);
    this.#breath = undefined;
    this.#stream?.emit('readable');
  }
}
