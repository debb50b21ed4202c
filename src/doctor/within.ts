/** How long one look at a server may take, in ms. */
export const patienceMs = 3_000;

/** Waits for an answer, but no longer than `ms`: then it throws an error that says so. What was asked goes on. */
export async function within<T>(answer: Promise<T>, ms = patienceMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
