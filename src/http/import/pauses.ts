/** Gives what `source` yields, and undefined once whenever it has nothing for `ms`. */
export async function* withPauses<T>(source: AsyncGenerator<T>, ms: number): AsyncGenerator<T | undefined> {
  try {
    for (;;) {
      const next = source.next();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), ms);
      });
      // Whoever goes on hears of its failure; if nobody does, it must not end the process.
      next.catch(() => undefined);
      const first = await Promise.race([next, late]);
      clearTimeout(timer);
      if (first === 'late') yield undefined;
      const result = first === 'late' ? await next : first;
      if (result.done) return;
      yield result.value;
    }
  } finally {
    await source.return(undefined);
  }
}
