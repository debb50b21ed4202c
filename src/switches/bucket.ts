/** How many buckets there are: one for each hundredth of a percent. */
export const bucketCount = 10_000;

/**
 * Tells which of 10,000 buckets `key` falls into for `switchName`; the same answer on every machine, forever.
 *
 * Raising a percentage must only ever add keys, so this may not change: it would move customers
 * between the old path and the new one mid-rollout. Whole percentages agree with Unleash's
 * gradual rollout (murmur3 x86 32-bit of the UTF-8 bytes of `name:key`, seed 0, `hash mod 100 + 1 <= p`).
 */
export function bucketOf(switchName: string, key: string): number {
  const begun = beginnings.get(switchName) ?? begin(switchName);
  const hash = finish(absorb(begun, key));
  return (hash % 100) * 100 + (Math.floor(hash / 100) % 100);
}

/**
 * Hashes the UTF-8 bytes of a text as MurmurHash3_x86_32 does with seed 0 (Austin Appleby, SMHasher).
 *
 * The packages that do it make a list of bytes first, or take only Latin text, and an evaluation has 200 ns.
 */
export function murmur3(text: string): number {
  return finish(absorb(start, text));
}

/** A hash in the middle of a text: what is mixed in, the bytes that don't make a word yet, and the length so far. */
interface State {
  readonly hash: number;
  readonly word: number;
  readonly shift: number;
  readonly length: number;
}

const start: State = { hash: 0, word: 0, shift: 0, length: 0 };

/** The name and its colon are the same for every key of a switch, and hashed once. */
const beginnings = new Map<string, State>();

function begin(switchName: string): State {
  if (beginnings.size >= 10_000) beginnings.clear();
  const begun = absorb(start, `${switchName}:`);
  beginnings.set(switchName, begun);
  return begun;
}

function absorb(state: State, text: string): State {
  let { hash, word, shift, length } = state;
  for (let at = 0; at < text.length; at += 1) {
    let bytes = text.charCodeAt(at); // the bytes of one character, the first one lowest
    let count = 1;
    if (bytes >= 0x80) {
      const point = text.codePointAt(at) as number;
      if (point >= 0x10000) at += 1;
      // Half a surrogate pair becomes U+FFFD, as everywhere in UTF-8.
      [bytes, count] = utf8(point >= 0xd800 && point < 0xe000 ? 0xfffd : point);
    }
    length += count;
    for (; count > 0; count -= 1) {
      word |= (bytes & 0xff) << shift;
      bytes >>>= 8;
      shift += 8;
      if (shift < 32) continue;
      hash = mix(hash, word);
      word = 0;
      shift = 0;
    }
  }
  return { hash, word, shift, length };
}

function finish({ hash, word, length }: State): number {
  let h = hash ^ scramble(word) ^ length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));
const mix = (hash: number, word: number) =>
  (Math.imul(rotate(hash ^ scramble(word), 13), 5) + 0xe6546b64) | 0;
const scramble = (word: number) => Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);

function utf8(point: number): [bytes: number, count: number] {
  const last = (0x80 | (point & 0x3f)) >>> 0;
  if (point < 0x800) return [0xc0 | (point >> 6) | (last << 8), 2];
  const third = 0x80 | ((point >> 6) & 0x3f);
  if (point < 0x10000) return [0xe0 | (point >> 12) | (third << 8) | (last << 16), 3];
  return [0xf0 | (point >> 18) | ((0x80 | ((point >> 12) & 0x3f)) << 8) | (third << 16) | (last << 24), 4];
}
