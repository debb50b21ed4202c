import { createHash } from 'node:crypto';

/**
 * Makes up a Korean mobile number (E.164, `+8210…`) for a customer whose own isn't known; always the same one.
 *
 * Never one that ends in 0000: the simulator takes those for wrong numbers. Two customers may share one.
 */
export function madeUpPhone(customerId: string): string {
  const hash = createHash('sha256').update(customerId).digest();
  return mobileNumber(hash.readUInt32BE(0), hash.readUInt32BE(4));
}

/** Writes a Korean mobile number, which never ends in 0000, from two whole numbers. */
export function mobileNumber(a: number, b: number): string {
  const middle = 2_000 + (a % 8_000);
  const last = 1 + (b % 9_999);
  return `+8210${middle}${String(last).padStart(4, '0')}`;
}
