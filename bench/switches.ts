import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installMissing } from '../src/stack/packages.ts';
import { startZookeeper } from '../src/stack/zookeeper.ts';
import { type Connection } from '../src/switches/connection.ts';
import { makePath } from '../src/switches/path.ts';
import { connectTo } from '../src/switches/zookeeper.ts';
import { median } from './median.ts';
import type { Asked, Told } from './switches-process.ts';

const program = fileURLToPath(new URL('switches-process.ts', import.meta.url));
const parent = '/bench/switches';
const processes = 4;
const flips = 100;
const many = 1_000;
/** A percentage with one segment, which the keys that are asked for don't match. */
const value = (percentage: number) =>
  JSON.stringify({
    variants: { legacy: 100 - percentage, actors: percentage },
    segments: [{ when: { sellerId: ['s-corn', 's-maize'] }, variant: 'actors' }],
  });

/**
 * What a switch costs and how quickly it flips, on a ZooKeeper of its own:
 *
 * - an evaluation of a percentage switch with one segment, through the public `evaluate`, in one process: the median
 *   of `runs` rounds of two million, after one that only warms up;
 * - the time from the write's start until the last of four processes evaluates by the new value: median and maximum
 *   of 100 flips;
 * - the heap that 1,000 such switches take in a process that follows them, over one session.
 */
export async function switches({ runs, say }: { runs: number; say: (line: string) => void }) {
  const dir = mkdtempSync(join(tmpdir(), 'chodang-bench-'));
  const children: ChildProcess[] = [];
  await installMissing(['zookeeper'], say);
  const zookeeper = await startZookeeper({ dir });
  try {
    const connection = await connectTo(zookeeper.url, 30_000);
    await makePath(connection, parent);
    for (let at = 0; at < many; at += 1)
      await connection.create(`${parent}/switch-${at}`, Buffer.from(value(30)));

    const open = async (names: number) => {
      const child = fork(program, [zookeeper.url, String(names)], {
        execArgv: ['--import', 'tsx', '--expose-gc'],
      });
      children.push(child);
      return { child, opened: await told(child, 'opened') };
    };
    const followers = await Promise.all(Array.from({ length: processes }, () => open(1)));
    const nanoseconds = await evaluations(followers[0]?.child as ChildProcess, runs, say);
    const lags = await propagation(
      connection,
      followers.map(({ child }) => child),
    );
    const heapBytes = (await open(many)).opened.heapBytes - (await open(1)).opened.heapBytes;
    await connection.close();
    return {
      scenario: 'switches',
      runs,
      evaluationsPerSecond: Math.round(1e9 / median(nanoseconds)),
      evaluationNs: round(median(nanoseconds)),
      processes,
      flips,
      propagationMedianMs: round(median(lags)),
      propagationMaxMs: round(Math.max(...lags)),
      switches: many,
      heapMb: round(heapBytes / 1e6),
      heapKbPerSwitch: round(heapBytes / 1e3 / (many - 1)),
    };
  } finally {
    for (const child of children) {
      child.disconnect();
      if (child.exitCode === null) await once(child, 'exit');
    }
    await zookeeper.stop();
    rmSync(dir, { recursive: true });
  }
}

const round = (figure: number) => Number(figure.toFixed(1));

async function evaluations(
  child: ChildProcess,
  runs: number,
  say: (line: string) => void,
): Promise<number[]> {
  const measured: number[] = [];
  for (let run = 0; run <= runs; run += 1) {
    ask(child, { kind: 'evaluate', times: 2_000_000 });
    const { nanoseconds } = await told(child, 'evaluated');
    say(`${run === 0 ? 'warm-up' : `run ${run}`}: ${nanoseconds.toFixed(0)} ns an evaluation`);
    if (run > 0) measured.push(nanoseconds);
  }
  return measured;
}

/** For each flip, how long until the last of the processes evaluated by it, in ms. */
async function propagation(connection: Connection, children: readonly ChildProcess[]): Promise<number[]> {
  const lags: number[] = [];
  for (let version = 1; version <= flips; version += 1) {
    const seen = children.map(async (child) => {
      for (;;) {
        const changed = await told(child, 'changed');
        if (changed.version === version) return BigInt(changed.at);
      }
    });
    const began = process.hrtime.bigint();
    await connection.write(`${parent}/switch-0`, Buffer.from(value(version % 2 === 0 ? 30 : 70)));
    const times = await Promise.all(seen);
    lags.push(Math.max(...times.map((at) => Number(at - began) / 1e6)));
  }
  return lags;
}

const ask = (child: ChildProcess, asked: Asked) => child.send(asked);

/** Waits for what a process tells; throws if it ends instead. */
function told<Kind extends Told['kind']>(
  child: ChildProcess,
  kind: Kind,
): Promise<Extract<Told, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) =>
      reject(new Error(`a process of the benchmark ended with ${code}`));
    const onMessage = (message: Told) => {
      if (message.kind !== kind) return;
      child.off('message', onMessage);
      child.off('exit', onExit);
      resolve(message as Extract<Told, { kind: Kind }>);
    };
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}
