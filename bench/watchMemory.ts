import type { Subject } from './open.ts';

/** Looks at a process's resident memory every half second, until `stop` returns what it saw, in MB. */
export function watchMemory(subject: Pick<Subject, 'rssMb'>): { stop(): number[] } {
  const seen = [subject.rssMb()];
  const timer = setInterval(() => seen.push(subject.rssMb()), 500);
  return {
    stop() {
      clearInterval(timer);
      return [...seen, subject.rssMb()];
    },
  };
}
