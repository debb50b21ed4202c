import { randomFillSync } from 'node:crypto';
import { V7Generator } from 'uuidv7';

const stock = new Uint32Array(1_024);
let left = 0;
/** Draws random numbers in stock: the generator's own stock is of eight. */
const nextUint32 = () => {
  if (left === 0) left = randomFillSync(stock).length;
  return stock[--left] as number;
};

const generator = new V7Generator({ nextUint32 });
// The greater of two ids is the newer notice, whose date counts: should the clock be set back, by whatever, ids go on
// from where they were.
generator.setRollbackAllowance(2 ** 48 - 1);

/** Makes a notice's id, a UUID of version 7: greater than all that this process made before. */
export const newNoticeId = (): string => textOf(generator.generate().bytes);

const hexDigits = Buffer.from('0123456789abcdef');
/** Where each byte of a UUID is written. */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/** Written anew for each id, and read before anybody else has a turn. */
const written = Buffer.alloc(36, '-');

/**
 * Writes a UUID in one piece: added up from its digits it would take a kilobyte of pieces that somebody has to put
 * together.
 */
function textOf(bytes: Readonly<Uint8Array>): string {
  places.forEach((place, at) => {
    const byte = bytes[at] as number;
    written[place] = hexDigits[byte >> 4] as number;
    written[place + 1] = hexDigits[byte & 15] as number;
  });
  return written.toString('latin1');
}
