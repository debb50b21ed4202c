import { hash128 } from './hash128.ts';

/** What a set of orders says to one more: it is new, or there with the same wish, or there with another one. */
export type Seen = 'new' | 'repeat' | 'conflict';

const shardCount = 256;
/** Words of a slot: two and a half of the id's hash, and half a one of what its row wants, which is 0 in a free slot. */
const width = 3;
const wishBits = 0xffff;
const fullest = 0.85;
const growth = 1.25;

/** A part of the set: a table with open addressing. */
interface Shard {
  words: Uint32Array;
  slots: number;
  used: number;
}

/**
 * Remembers millions of order ids in some 16 bytes each, however long they are, and what each row wanted.
 *
 * It keeps 88 bits of a hash of the id, 8 of them by the part that it is in. So many on purpose: an id that collides
 * with another would be taken for a repeat of it, and a customer never told. Among 2 million ids that happens once in
 * 10^14 files; with 64 bits it would be once in 10 million. Of what the row wants 16 bits do: a collision there, where
 * rows repeat an order at all, hides that two of them disagree.
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
    const mark = (wish ^ (wish >>> 16)) & wishBits || 1;
    const there = (shard.words[at + 2] ?? 0) & wishBits;
    if (there !== 0) return there === mark ? 'repeat' : 'conflict';
    const hash = this.#hash;
    put(shard.words, at, hash[0] ?? 0, hash[1] ?? 0, ((hash[2] ?? 0) & ~wishBits) | mark);
    shard.used++;
    this.size++;
    if (shard.used > shard.slots * fullest) grow(shard);
    return 'new';
  }

  /** Tells whether an order is there. */
  has(orderId: string): boolean {
    const { shard, at } = this.#find(orderId);
    return !isFree(shard.words, at);
  }

  /** Hashes an id, and finds its place or the free one where it would go. */
  #find(orderId: string): { shard: Shard; at: number } {
    hash128(orderId, this.#hash);
    const hash = this.#hash;
    const shard = this.#shards[(hash[3] ?? 0) % shardCount] as Shard;
    return { shard, at: placeOf(shard, hash[0] ?? 0, hash[1] ?? 0, hash[2] ?? 0) };
  }
}

const shardOf = (slots: number): Shard => ({ words: new Uint32Array(slots * width), slots, used: 0 });

const isFree = (words: Uint32Array, at: number) => ((words[at + 2] ?? 0) & wishBits) === 0;

/** Where in `shard` the hash of these words is, or the free slot where it would go. */
function placeOf({ words, slots }: Shard, first: number, second: number, third: number): number {
  let slot = Math.floor((first / 2 ** 32) * slots);
  for (;;) {
    const at = slot * width;
    const isSame =
      words[at] === first && words[at + 1] === second && (((words[at + 2] ?? 0) ^ third) & ~wishBits) === 0;
    if (isSame || isFree(words, at)) return at;
    slot = slot + 1 === slots ? 0 : slot + 1;
  }
}

function grow(shard: Shard): void {
  const bigger = shardOf(Math.ceil(shard.slots * growth));
  const { words } = shard;
  for (let at = 0; at < words.length; at += width) {
    if (isFree(words, at)) continue;
    const first = words[at] ?? 0;
    const second = words[at + 1] ?? 0;
    const third = words[at + 2] ?? 0;
    put(bigger.words, placeOf(bigger, first, second, third), first, second, third);
  }
  shard.words = bigger.words;
  shard.slots = bigger.slots;
}

/** Word by word: `set` is many times slower for so few. */
function put(words: Uint32Array, at: number, first: number, second: number, third: number): void {
  words[at] = first;
  words[at + 1] = second;
  words[at + 2] = third;
}
