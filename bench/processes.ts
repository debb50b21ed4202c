import { readdirSync, readFileSync } from 'node:fs';

/** User and system time of processes and all their descendants, ended ones too, in seconds; see proc(5): 100 ticks a second. */
export function cpuSecondsOf(roots: readonly number[]): number {
  return familyOf(roots)
    .flatMap(({ ticks }) => ticks)
    .reduce((seconds, ticks) => seconds + Number(ticks) / 100, 0);
}

/** The resident memory now of the largest of a process and its descendants, in MB. */
export function rssMbOf(root: number): number {
  const sizes = familyOf([root]).map(({ pid }) => {
    const status = fileOf(pid, 'status') ?? '';
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024;
  });
  return Math.max(0, ...sizes);
}

interface Process {
  pid: number;
  parent: number;
  ticks: string[];
}

function familyOf(roots: readonly number[]): Process[] {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): Process[] => {
      const stat = fileOf(Number(name), 'stat');
      // From the third field on; the second, in brackets, may hold anything.
      const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields ? [{ pid: Number(name), parent: Number(fields[1]), ticks: fields.slice(11, 15) }] : [];
    });
  const family = new Set(roots);
  for (let before = 0; family.size > before; ) {
    before = family.size;
    for (const { pid, parent } of processes) if (family.has(parent)) family.add(pid);
  }
  return processes.filter(({ pid }) => family.has(pid));
}

/** A file of /proc/<pid>; undefined if the process has just ended. */
function fileOf(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}
