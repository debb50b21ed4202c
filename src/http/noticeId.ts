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
export const newNoticeId = (): string => generator.generate().toString();
