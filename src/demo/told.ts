/** A notification as the simulator remembers it. */
interface Told {
  n: number;
  key: string;
}

const pageLength = 10_000;

/**
 * Finds out how many notifications the simulator ever delivered; the cursor behind which later ones are.
 *
 * Throws if what is there is not the simulator: nobody wants to try things out on real customers.
 */
export async function toldSoFar(tmsUrl: string): Promise<number> {
  const url = `${tmsUrl.replace(/\/+$/, '')}/v1/stats`;
  let why: string;
  try {
    const response = await fetch(url);
    const stats = (await response.json()) as { delivered?: unknown; distinctKeys?: unknown };
    if (response.ok && typeof stats.delivered === 'number' && typeof stats.distinctKeys === 'number')
      return stats.delivered;
    why = `GET ${url} answered ${response.status}`;
  } catch (error) {
    why = `GET ${url}: ${(error as Error).message}`;
  }
  throw new Error(
    `The demo only runs against the TMS simulator, and ${new URL(tmsUrl).origin} is not one (${why}): it would send ` +
      "made-up delays to customers. Unset CHODANG_TMS_URL, or tms.url in config/, to get a simulator of the demo's own.",
  );
}

/** Counts how often each key was delivered after the first `after` notifications. */
export async function toldSince(tmsUrl: string, after: number): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (let next: number | null = after; next !== null; ) {
    const response = await fetch(
      `${tmsUrl.replace(/\/+$/, '')}/v1/notifications?after=${next}&limit=${pageLength}`,
    );
    if (!response.ok) throw new Error(`The simulator answered ${response.status} when asked who got what.`);
    const page = (await response.json()) as { notifications: Told[]; next: number | null };
    for (const { key } of page.notifications) times.set(key, (times.get(key) ?? 0) + 1);
    next = page.next;
  }
  return times;
}
