import type { Subject } from './open.ts';

/** Looks at a process's resident memory every half second until `stop`; `seen` gives what it was so far, and is now, in MB. */
export function watchMemory(subject: Pick<Subject, 'rssMb'>): { seen(): number[]; stop(): number[] } {
  const seen = [subject.rssMb()];
  const timer = setInterval(() => seen.push(subject.rssMb()), 500);
  const all = () => [...seen, subject.rssMb()];
  return {
    seen: all,
    stop() {
      clearInterval(timer);
      return all();
    },
  };
}
