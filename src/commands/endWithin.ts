/**
 * Ends this process after so many ms at the latest, with the exit code that is set by then: what is to be done is done, and
 * nothing that is still open shall keep it.
 */
export function endWithin(ms: number): void {
  setTimeout(() => process.exit(), ms).unref();
}
