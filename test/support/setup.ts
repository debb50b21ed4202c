import { join } from 'node:path';
import { lock, type Release, tryLock } from '../../src/stack/lock.ts';
import { stackDir } from '../../src/stack/place.ts';
import { stackDown, stackUp } from '../../src/stack/stack.ts';
import { testStack } from './servers.ts';

// Every run of the tests shares this lock while it needs the stack; the last one to leave takes it down.
const users = join(stackDir({ name: testStack }), 'users.lock');
let leave: Release | undefined;

/** Brings up the servers the tests share, before the first of them. */
export async function mochaGlobalSetup(): Promise<void> {
  leave = await lock(users, 'shared');
  try {
    await stackUp({ name: testStack, log: sayOnTerminal });
  } catch (error) {
    await mochaGlobalTeardown();
    throw error;
  }
}

/** Takes them down after the last, unless another run still needs them or `CHODANG_TEST_STACK` says they are to stay. */
export async function mochaGlobalTeardown(): Promise<void> {
  await leave?.();
  if (process.env['CHODANG_TEST_STACK']) return;
  const alone = await tryLock(users);
  if (!alone) return;
  try {
    await stackDown({ name: testStack });
  } finally {
    await alone();
  }
}

function sayOnTerminal(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${line}\n`);
}
