/**
 * Tells the body of a 202: the whole answer at once, as one line, and then white space until `received` resolves.
 *
 * The end of the answer is what tells a sender that all of the file is safe. It must not come earlier also because
 * many clients (fetch of Node, net/http of Go) stop sending when an answer is complete. The white space, which JSON
 * allows, keeps those from giving up that expect a sign of life. If `received` rejects, this throws: the connection
 * is cut, and the sender sees an answer without its end.
 */
export async function* answerUntil(
  received: Promise<void>,
  answer: object,
  signOfLifeMs = 10_000,
): AsyncGenerator<string> {
  yield `${JSON.stringify(answer)}\n`;
  const done = received.then(() => true);
  // Waited for below; but nobody does if the sender goes away first.
  done.catch(() => undefined);
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), signOfLifeMs);
    });
    try {
      if (await Promise.race([done, late])) return;
    } finally {
      clearTimeout(timer);
    }
    yield '\n';
  }
}
