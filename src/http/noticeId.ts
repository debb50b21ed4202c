import { V7Generator } from 'uuidv7';

const generator = new V7Generator();
// The greater of two ids is the newer notice, whose date counts: should the clock be set back, by whatever, ids go on
// from where they were.
generator.setRollbackAllowance(2 ** 48 - 1);

/** Makes a notice's id, a UUID of version 7: greater than all that this process made before. */
export const newNoticeId = (): string => generator.generate().toString();
