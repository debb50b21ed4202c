import { hostname, userInfo } from 'node:os';

/** Who is at work here: CHODANG_OPERATOR, or the user of this machine. */
export function whoAmI(): string {
  return process.env['CHODANG_OPERATOR'] || `${userInfo().username}@${hostname()}`;
}
