import { hash128 } from './hash128.ts';

/** What a set of orders says to one more: it is new, or there with the same wish, or there with another one. */
export type Seen = 'new' | 'repeat' | 'conflict';

const shardCount = 256;
/** Four words of the id's hash, and one of what the row wants. */
const width = 5;
const fullest = 0.85;
const growth = 1.25;

/** A part of the set: a table with open addressing. */
interface Shard {
  words: Uint32Array;
  slots: number;
  used: number;
}

/**
 * Remembers millions of order ids in some 30 bytes each, however long they are, and what each row wanted.
 *
 * It keeps a hash of the id, of 128 bits on purpose: an id that collides with another would be taken for a repeat of it,
 * and a customer never told. Among 2 million ids that happens once in 10^26 files; with 64 bits it would be once
 * in 10 million. Of what the row wants 32 bits do: a collision there hides that two rows of one order disagree.
 *
 * The 256 parts grow one by one, so that no single growth holds up the process or takes twice the memory.
 */
export class DistinctOrders {
  size = 0;
  readonly #shards = Array.from({ length: shardCount }, (): Shard => shardOf(16));
  readonly #hash = new Uint32Array(4);

  /** Adds an order, unless it is there; `wish` is a number of what its row wants. */
  add(orderId: string, wish: number): Seen {
    const { shard, at } = this.#find(orderId);
    // Never 0, which marks a free slot.
    const mark = wish | 1;
    const there = shard.words[at + 4];
    if (there !== 0) return there === mark >>> 0 ? 'repeat' : 'conflict';
    put(shard.words, at, this.#hash, 0, mark);
    shard.used++;
    this.size++;
    if (shard.used > shard.slots * fullest) grow(shard);
    return 'new';
  }

  /** Tells whether an order is there. */
  has(orderId: string): boolean {
    const { shard, at } = this.#find(orderId);
    return shard.words[at + 4] !== 0;
  }

  /** Hashes an id, and finds its place or the free one where it would go. */
  #find(orderId: string): { shard: Shard; at: number } {
    hash128(orderId, this.#hash);
    const shard = this.#shards[(this.#hash[1] ?? 0) % shardCount] as Shard;
    return { shard, at: placeOf(shard, this.#hash, 0) };
  }
}

const shardOf = (slots: number): Shard => ({ words: new Uint32Array(slots * width), slots, used: 0 });

/** Where in `shard` the hash that begins at `key[from]` is, or the free slot where it would go. */
function placeOf({ words, slots }: Shard, key: Uint32Array, from: number): number {
  const first = key[from] ?? 0;
  let slot = Math.floor((first / 2 ** 32) * slots);
  for (;;) {
    const at = slot * width;
    const free = words[at + 4] === 0;
    if (free) return at;
    if (
      words[at] === first &&
      words[at + 1] === key[from + 1] &&
      words[at + 2] === key[from + 2] &&
      words[at + 3] === key[from + 3]
    )
      return at;
    slot = slot + 1 === slots ? 0 : slot + 1;
  }
}

function grow(shard: Shard): void {
  const bigger = shardOf(Math.ceil(shard.slots * growth));
  for (let at = 0; at < shard.words.length; at += width) {
    if (shard.words[at + 4] === 0) continue;
    put(bigger.words, placeOf(bigger, shard.words, at), shard.words, at, shard.words[at + 4] ?? 0);
  }
  shard.words = bigger.words;
  shard.slots = bigger.slots;
}

/** Word by word: `set` is many times slower for so few. */
function put(words: Uint32Array, at: number, key: Uint32Array, from: number, mark: number): void {
  words[at] = key[from] ?? 0;
  words[at + 1] = key[from + 1] ?? 0;
  words[at + 2] = key[from + 2] ?? 0;
  words[at + 3] = key[from + 3] ?? 0;
  words[at + 4] = mark;
}
