import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { Problem } from './problem.ts';

/**
 * Makes `app` read JSON bodies and nothing else.
 *
 * Bytes that are not UTF-8 are refused: decoded anyhow, they would reach customers as `�`.
 */
export function readJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    try {
      done(null, parseJson(body));
    } catch (error) {
      done(error as Error);
    }
  });
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw new Problem('invalid-json', 'The body is empty. Expected a JSON object.');
  if (!isUtf8(body))
    throw new Problem('invalid-json', 'The body is not UTF-8. Expected JSON, encoded in UTF-8.');
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    const { message } = error as SyntaxError;
    throw new Problem('invalid-json', `The body cannot be read as JSON: ${message}.`, { cause: error });
  }
}

/** Makes the hook that refuses a body which says it is larger than `bodyLimit` bytes before any of it is read. */
export function refuseLargeBody(bodyLimit: number): onRequestHookHandler {
  return (request, _reply, done) => {
    const length = Number(request.headers['content-length'] ?? 0);
    if (length <= bodyLimit) return done();
    done(
      new Problem(
        'body-too-large',
        `The body has ${length.toLocaleString('en-US')} bytes; at most ${bodyLimit.toLocaleString('en-US')} are read here. Split the notice into several.`,
      ),
    );
  };
}
