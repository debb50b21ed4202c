/** A phone number of its own for each order; never one that ends in 0000: to the simulator those are wrong numbers. */
export const phoneOf = (at: number): string =>
  `+8210${1_000 + Math.floor(at / 9_999)}${String((at % 9_999) + 1).padStart(4, '0')}`;
