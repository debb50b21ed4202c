/**
 * Gives what `source` yields, and meanwhile already has it make the next one, so that reading and storing go on at once.
 *
 * What the source throws is thrown when its turn comes.
 */
export async function* readAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  // Settled, not bare: a rejection that nobody has asked for yet would end the process.
  const ask = () => Promise.allSettled([source.next()]);
  let next = ask();
  try {
    for (;;) {
      const [result] = await next;
      if (result.status === 'rejected') throw result.reason;
      if (result.value.done) return;
      next = ask();
      yield result.value.value;
    }
  } finally {
    await next;
    await source.return(undefined);
  }
}
