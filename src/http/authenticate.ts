import { hash as hashOf } from 'node:crypto';
import type { FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Operator } from '../store/operators.ts';
import { Problem } from './problem.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The seller whose API key came with the request; empty on routes that need none. */
    sellerId: string;
    /** The operator whose key came with the request; null on routes that are not for operators. */
    operator: Operator | null;
  }
}

export interface AuthenticateOptions<Holder> {
  /** Looks a key up; undefined if it is nobody's. */
  holderOf: (key: string) => Promise<Holder | undefined>;
  /** Takes down whose request it is. */
  welcome: (request: FastifyRequest, holder: Holder) => void;
  /** The clock. */
  now: () => Date;
  /** For how long a key that was found isn't looked up again, and so a revoked one still works; default 10,000. */
  cacheMs?: number;
  /** How many keys are remembered at most; default 10,000. */
  maxCached?: number;
}

/**
 * Makes the hook that tells whose request it is by its `Authorization: Bearer <key>`, before the body is read.
 *
 * Answers with the problem `unauthorized` if there is no key or nobody has it. Keys that nobody has are not
 * remembered: a new one works at once, and guesses can't push good ones out. Only hashes stay in memory.
 */
export function createAuthenticate<Holder>(options: AuthenticateOptions<Holder>): onRequestHookHandler {
  const { holderOf, welcome, cacheMs = 10_000, maxCached = 10_000 } = options;
  const known = new Map<string, { holder: Holder; until: number }>();
  /** What is being looked up: requests that come with one key meanwhile share the answer. */
  const asked = new Map<string, Promise<Holder | undefined>>();
  const lookUp = (hash: string, key: string) => {
    const running = asked.get(hash) ?? holderOf(key).finally(() => asked.delete(hash));
    asked.set(hash, running);
    return running;
  };

  const remember = (hash: string, holder: Holder, until: number) => {
    known.set(hash, { holder, until });
    const oldest = known.keys().next().value;
    if (known.size > maxCached && oldest !== undefined) known.delete(oldest);
  };

  // With a callback: a promise would take each request some turns more, and few have to wait for anything.
  return (request, _reply, done) => {
    const key = bearerOf(request.headers.authorization);
    if (key instanceof Problem) return done(key);
    const hash = hashOf('sha256', key, 'base64');
    const now = options.now().getTime();
    const cached = known.get(hash);
    if (cached !== undefined && cached.until > now) {
      welcome(request, cached.holder);
      return done();
    }
    known.delete(hash);
    void lookUp(hash, key)
      .then((holder) => {
        if (holder === undefined)
          return unauthorized('The API key is not known, or was revoked.', 'invalid_token');
        remember(hash, holder, now + cacheMs);
        welcome(request, holder);
        return undefined;
      })
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      .then(done);
  };
}

function bearerOf(header: string | undefined): string | Problem {
  if (header === undefined) return unauthorized('There is no header Authorization.');
  return (
    /^Bearer +([\x21-\x7e]{1,500})$/i.exec(header)?.[1] ??
    unauthorized('The header Authorization does not read "Bearer <api key>".', 'invalid_request')
  );
}

function unauthorized(detail: string, error?: string): Problem {
  return new Problem('unauthorized', `${detail} Send Authorization: Bearer <api key>, with your own key.`, {
    headers: {
      'www-authenticate': `Bearer realm="chodang"${error === undefined ? '' : `, error="${error}"`}`,
    },
  });
}
