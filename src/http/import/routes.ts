import { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { linksOf, traceparentOf } from '../notices.ts';
import { invalidRequest, Problem } from '../problem.ts';
import * as schemas from '../schemas.ts';
import { answerUntil } from './answer.ts';
import { type Format, formats } from './file.ts';
import { createImports, type ImportsOptions } from './imports.ts';

/** For how long a body is read on and thrown away after a refusal, so that the sender gets to read it; in ms. */
const lingerMs = 30_000;

/** Adds `POST /v1/delay-notices/import`, on an instance of its own: no other body is read there. The seller must be known by then. */
export function importRoutes(app: FastifyInstance, options: ImportsOptions): void {
  const imports = createImports(options);
  // Before the server waits for its requests to end: a file may come in for minutes, and can be sent to another one.
  app.addHook('preClose', async () => imports.stop());
  app.addHook('onClose', () => imports.drained());
  passBodiesOn(app);

  app.withTypeProvider<TypeBoxTypeProvider>().post(
    '/v1/delay-notices/import',
    {
      schema: {
        summary: 'Import a file of millions of orders as one notice',
        description:
          'The answer begins as soon as the first rows are safe, and ends when all of them are. A file that broke off is sent again from its start, with the same Idempotency-Key: what is safe is passed over. Without that header, the id of the notice is its key. Each row is an order, a repeat or rejected.',
        security: [{ apiKey: [] }],
        consumes: Object.values(formats),
        headers: schemas.noticeHeaders,
        body: schemas.importBody,
        response: {
          202: schemas.acceptedImport,
          ...schemas.problemResponses(400, 401, 409, 413, 415, 422, 500, 503),
        },
      },
    },
    async (request, reply) => {
      const { sellerId, headers } = request;
      try {
        const { accepted, received } = imports.receive({
          sellerId,
          ...bodyOf(request),
          idempotencyKey: headers['idempotency-key'],
          traceparent: traceparentOf(request.headers['traceparent']),
        });
        const answer = await accepted;
        const { self, ...links } = linksOf(answer);
        const told = { ...answer, links: { self, ...links, rejectedRows: `${self}/rejected-rows` } };
        reply.code(202).header('location', self).type('application/json; charset=utf-8');
        return reply.send(Readable.from(answerUntil(received, told), { objectMode: false }) as never);
      } catch (error) {
        throwAway(request.raw);
        throw error;
      }
    },
  );
}

/** Has bodies reach the handler as they come in. */
function passBodiesOn(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(Object.values(formats), (_request, payload, done) => done(null, payload));
  app.addContentTypeParser('*', (_request, payload, done) => {
    throwAway(payload);
    done(unsupported('Content-Type', Object.values(formats).join(' or ')));
  });
}

/** Reads from the headers how the body is to be read; throws the problems `unsupported-media-type` and `invalid-request`. */
function bodyOf({ headers, body, raw }: FastifyRequest): {
  format: Format;
  body: Readable;
  gzipped: boolean;
} {
  if (!(body instanceof Readable))
    throw invalidRequest([{ pointer: '#', expected: 'the rows of a file', got: 'an empty body' }]);
  const [type, ...parameters] = (headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset !== undefined && !/^"?(utf-?8|us-ascii)"?$/.test(charset))
    throw unsupported('Content-Type', `${type}; charset=utf-8`);
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (!['identity', 'gzip', 'x-gzip'].includes(encoding))
    throw unsupported('Content-Encoding', 'gzip, or none');
  return {
    format: type === formats.csv ? 'csv' : 'ndjson',
    body: raw,
    gzipped: encoding !== 'identity',
  };
}

const unsupported = (header: string, expected: string) =>
  new Problem('unsupported-media-type', `Expected the header ${header}: ${expected}.`);

/**
 * Reads what a sender still sends, and drops it, so that it gets to read why; after a while the connection is cut.
 *
 * An answer without that would be lost: many senders read nothing before they have sent everything.
 */
function throwAway(body: Readable): void {
  const timer = setTimeout(() => body.destroy(), lingerMs);
  body.once('close', () => clearTimeout(timer));
  body.resume();
}
