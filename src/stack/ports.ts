import { createHash } from 'node:crypto';
import { createServer } from 'node:net';

// Below the ports Linux gives to outgoing connections (32768 and up): none of those can take ours meanwhile.
const first = 20_000;
const count = 12_000;

/** The ports chosen in this process for servers that may not have bound them yet. */
const claimed = new Set<number>();

/**
 * Chooses a free loopback port for each name, by preference the remembered one.
 *
 * Where to look first depends on `seed` (the folder of the server), so two clones that start at the same
 * moment look in different places. Whoever binds last still has to notice and choose again: `Server` does.
 */
export async function choosePorts<Name extends string>(
  names: readonly Name[],
  remembered: Partial<Record<Name, number>>,
  seed: string,
): Promise<Record<Name, number>> {
  const chosen: Partial<Record<Name, number>> = {};
  for (const name of names) chosen[name] = await choosePort(remembered[name], `${seed}:${name}`);
  return chosen as Record<Name, number>;
}

/** Lets other servers of this process look at these ports again. */
export function releasePorts(ports: Record<string, number>): void {
  for (const port of Object.values(ports)) claimed.delete(port);
}

/** Tells whether nobody listens on this port of the loopback interface. */
export async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

async function choosePort(remembered: number | undefined, seed: string): Promise<number> {
  const start = createHash('sha256').update(seed).digest().readUInt32BE() % count;
  const candidates = remembered === undefined ? [] : [remembered];
  for (let step = 0; step < count; step++) candidates.push(first + ((start + step) % count));
  for (const port of candidates) {
    if (claimed.has(port)) continue;
    claimed.add(port);
    if (await isFree(port)) return port;
    claimed.delete(port);
  }
  throw new Error(`No free port between ${first} and ${first + count - 1} on 127.0.0.1`);
}
