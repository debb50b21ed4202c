import type { Channel, ConsumeMessage, RecoveringChannelModel } from 'amqplib';
import { closeChannel } from './close.ts';
import { type Delivery, deliveryOf } from './delivery.ts';
import { Prefetch } from './prefetch.ts';
import type { Reading } from './reading.ts';

/** A consumer of one queue that outlives channels and connections. */
export interface Subscription {
  /**
   * Wishes to consume from now on, as soon as there is a connection, with this prefetch (in messages), or a lower one
   * where they are so large that they would take more than `maxPrefetchedBytes`.
   */
  consume(prefetch: number): void;
  /** Stops deliveries; resolves when none can come any more. Those delivered already can still be acked. */
  cancel(): Promise<void>;
  /** Cancels and closes the channel: RabbitMQ takes back what is not settled. */
  close(): Promise<void>;
}

export interface SubscriptionOptions {
  /** So many bytes of messages may be with a consumer unsettled, about. Default: no limit. */
  maxPrefetchedBytes?: number;
  /** Is told of all messages that come and are settled. */
  reading?: Reading | undefined;
  log: { warn(fields: object, message: string): void };
}

const reopenAfterMs = 100;
const answerWithinMs = 30_000;

/** A subscription that, after every loss, opens its channel again and applies the same wish. */
export class RecoveringSubscription implements Subscription {
  readonly #queue: string;
  readonly #onDelivery: (delivery: Delivery) => void;
  readonly #connection: Promise<Pick<RecoveringChannelModel, 'createChannel'>>;
  readonly #options: SubscriptionOptions;
  readonly #onClose: () => void;
  readonly #sizes: Prefetch;
  #channel: Channel | undefined;
  #tag: string | undefined;
  /** The wish: what to consume with; undefined while canceled. */
  #prefetch: number | undefined;
  /** What RabbitMQ was asked for last. */
  #asked = 0;
  /** Nothing is to come until all that came is settled: it was too large for what was asked for. */
  #resting = false;
  #closed = false;
  /** Changes happen one after the other: a cancel must not overtake the consume before it. */
  #changes: Promise<void> = Promise.resolve();

  constructor(
    queue: string,
    onDelivery: (delivery: Delivery) => void,
    connection: Promise<Pick<RecoveringChannelModel, 'createChannel'>>,
    options: SubscriptionOptions,
    onClose: () => void,
  ) {
    this.#queue = queue;
    this.#onDelivery = onDelivery;
    this.#connection = connection;
    this.#options = options;
    this.#onClose = onClose;
    this.#sizes = new Prefetch(options.maxPrefetchedBytes ?? Number.POSITIVE_INFINITY, options.reading);
  }

  consume(prefetch: number): void {
    this.#prefetch = prefetch;
    void this.#change(() => this.#apply());
  }

  async cancel(): Promise<void> {
    this.#prefetch = undefined;
    // Without a channel nothing can be delivered, and waiting would mean waiting for RabbitMQ.
    if (this.#channel) await this.#change(() => this.#apply());
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#closed = true;
    this.#prefetch = undefined;
    this.#forgetChannel();
    this.#onClose();
    if (!channel) return;
    try {
      // amqplib breaks its connection if a channel is closed while one of its calls is still unanswered.
      await this.#changes;
      await closeChannel(channel);
    } catch (error) {
      this.#tell(error, 'a consumer had gone before it was closed');
    }
  }

  #change(how: () => Promise<void>): Promise<void> {
    this.#changes = this.#changes.then(how).catch((error: unknown) => {
      if (this.#closed) return;
      this.#tell(error, 'consuming failed; trying again');
      this.#applySoon();
    });
    return this.#changes;
  }

  #applySoon(): void {
    if (this.#closed || this.#prefetch === undefined) return;
    setTimeout(() => void this.#change(() => this.#apply()), reopenAfterMs).unref();
  }

  async #apply(): Promise<void> {
    this.#resting = false;
    await this.#stop();
    if (this.#prefetch === undefined || this.#closed) return;
    const channel = this.#channel ?? (await this.#open());
    // The wish may have changed while there was no connection: a prefetch of `undefined` would be no limit.
    if (!channel || this.#prefetch === undefined) return;
    this.#asked = this.#sizes.within(this.#prefetch);
    await this.#answered(channel.prefetch(this.#asked));
    const { consumerTag } = await this.#answered(
      channel.consume(this.#queue, (message) => {
        if (message) this.#came(channel, message);
        else this.#canceledByRabbit(channel);
      }),
    );
    this.#tag = consumerTag;
    this.#fit(); // the first messages may be here already
  }

  async #stop(): Promise<void> {
    if (!this.#channel || this.#tag === undefined) return;
    const tag = this.#tag;
    this.#tag = undefined;
    await this.#answered(this.#channel.cancel(tag));
  }

  #came(channel: Channel, message: ConsumeMessage): void {
    const bytes = message.content.length;
    const isOurs = () => this.#channel === channel;
    if (!isOurs()) return; // RabbitMQ delivers it again
    this.#sizes.came(bytes);
    this.#fit();
    const settled = () => {
      this.#sizes.settled(bytes);
      if (this.#resting && this.#sizes.isEmpty) void this.#change(() => this.#wake());
    };
    this.#onDelivery(deliveryOf(channel, message, isOurs, settled));
  }

  /** Asks for another number of messages where their size calls for it; if nothing is consumed now, that comes first. */
  #fit(): void {
    const most = this.#prefetch;
    if (this.#resting || this.#tag === undefined || most === undefined) return;
    if (this.#sizes.isTooMuch(this.#asked)) {
      this.#resting = true;
      void this.#change(async () => {
        if (this.#resting) await this.#stop();
        await this.#wake();
      });
    } else if (this.#sizes.isTooLow(this.#asked, most)) {
      void this.#change(async () => {
        // Unless the message before has asked anew.
        if (this.#prefetch === most && this.#sizes.isTooLow(this.#asked, most)) await this.#apply();
      });
    }
  }

  /** Ends the rest, if nothing is left that it is for. */
  async #wake(): Promise<void> {
    if (this.#resting && this.#sizes.isEmpty) await this.#apply();
  }

  /** RabbitMQ 3.10 may leave a consume unanswered whose queue is deleted meanwhile: then it takes another channel. */
  async #answered<Answer>(answer: Promise<Answer>): Promise<Answer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (this.#options.reading?.isStopped) return; // it may have come
        const channel = this.#channel;
        this.#forgetChannel();
        channel?.close().catch((error: unknown) => this.#tell(error, 'a channel that did not answer broke'));
        reject(new Error(`RabbitMQ did not answer within ${answerWithinMs} ms`));
      }, answerWithinMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearInterval(timer);
    }
  }

  #tell(error: unknown, message: string): void {
    this.#options.log.warn({ err: error, queue: this.#queue }, message);
  }

  /** Waits for a connection if there is none. */
  async #open(): Promise<Channel | undefined> {
    const channel = await (await this.#connection).createChannel();
    if (this.#closed) {
      await closeChannel(channel);
      return undefined;
    }
    channel.on('error', (error) => this.#tell(error, 'RabbitMQ closed a consuming channel'));
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.#forgetChannel();
      this.#applySoon();
    });
    this.#channel = channel;
    return channel;
  }

  /** The channel is gone, or will be soon: what came on it and isn't settled is RabbitMQ's again. */
  #forgetChannel(): void {
    this.#channel = undefined;
    this.#tag = undefined;
    this.#sizes.lost();
  }

  /** The queue was deleted, or its leader moved: the channel lives on, but nothing more would come. */
  #canceledByRabbit(channel: Channel): void {
    this.#tag = undefined;
    void this.#change(async () => {
      if (this.#channel !== channel) return;
      this.#forgetChannel();
      await closeChannel(channel);
      this.#applySoon();
    });
  }
}
