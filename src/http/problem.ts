/**
 * Every kind of problem the API answers with. The key is the last part of the problem's `type`,
 * `/problems/<key>`, which is also an address where a seller can read `title` and `help`.
 */
export const problemTypes = {
  'invalid-request': {
    status: 400,
    title: 'The request is not as it must be',
    help: 'Each entry of `errors` names a field, what was expected there and what came. Correct them and send the request again. Nothing was stored.',
  },
  'invalid-json': {
    status: 400,
    title: 'The body is not JSON',
    help: 'Send the body as JSON (RFC 8259) in UTF-8. `detail` says where reading it stopped. Nothing was stored.',
  },
  unauthorized: {
    status: 401,
    title: 'The API key is missing or wrong',
    help: 'Send the header `Authorization: Bearer <api key>` with the key you were given. Nothing was stored.',
  },
  forbidden: {
    status: 403,
    title: 'This key may only look',
    help: 'Its role is reader. What changes something, or shows personal data, needs a key of role operator: `chodang operator add NAME --role operator`.',
  },
  'not-found': {
    status: 404,
    title: 'There is nothing here',
    help: 'Check the address and the method. A notice can be read only by the seller who posted it.',
  },
  'still-running': {
    status: 409,
    title: 'A request with this Idempotency-Key is still running',
    help: 'Send the same request again after the seconds in `Retry-After`: you get the answer of the first one.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    help: 'Split the notice, or the file, into several. Nothing was stored, unless the answer had begun: then what an import counts is.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The body is of a kind that is not read here',
    help: 'Send JSON, with the header `Content-Type: application/json`; a file to import as `text/csv` or `application/x-ndjson`, in UTF-8, packed by gzip or not. Nothing was stored.',
  },
  refused: {
    status: 422,
    title: 'This can not be done with these failures',
    help: '`detail` says why: there are none of these numbers, somebody else has them in hand, or the message can not be sent. Nothing was changed.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'This Idempotency-Key was used for another notice',
    help: 'Take a new key for every new notice, and the same key only to repeat the very same request. Nothing was stored.',
  },
  'internal-error': {
    status: 500,
    title: 'Something went wrong on our side',
    help: 'Send the same request again, with the same Idempotency-Key if it had one. If it goes wrong again, tell us the `instance`.',
  },
  'outcome-unknown': {
    status: 500,
    title: 'It is not known whether the notice was stored',
    help: 'The connection to our database broke while the notice was being committed. Send the same request with the same Idempotency-Key again; without a key, look first whether the notice is in `GET /v1/delay-notices`.',
  },
  unavailable: {
    status: 503,
    title: 'Notices cannot be taken right now',
    help: 'Send the same request again after the seconds in `Retry-After`. Nothing was stored.',
  },
} as const satisfies Record<string, { status: number; title: string; help: string }>;

export type ProblemType = keyof typeof problemTypes;

/** One thing that is wrong with a request: where, what would be right, and what came. */
export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body, as a URI fragment; `#` is the body itself. */
  pointer?: string;
  /** The query parameter, header or part of the path. */
  parameter?: string;
  expected: string;
  got: string;
}

/** A problem document as it is sent (RFC 9457). */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Names this one occurrence, `urn:uuid:…`; the same id as `reqId` in the log. */
  instance: string;
  errors?: FieldError[];
}

/** Ends a request with a problem document; thrown anywhere below a route. */
export class Problem extends Error {
  override name = 'Problem';
  readonly type: ProblemType;
  readonly errors: FieldError[];
  readonly headers: Record<string, string>;

  /** `detail` says what is wrong this time, and ends with what to do if the help of the type doesn't. */
  constructor(
    type: ProblemType,
    detail: string,
    more: { errors?: FieldError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.type = type;
    this.errors = more.errors ?? [];
    this.headers = more.headers ?? {};
  }

  get status(): number {
    return problemTypes[this.type].status;
  }

  /** Returns the document to send for the request with `requestId`. */
  document(requestId: string): ProblemDocument {
    return {
      type: `/problems/${this.type}`,
      title: problemTypes[this.type].title,
      status: this.status,
      detail: this.message,
      instance: `urn:uuid:${requestId}`,
      ...(this.errors.length > 0 ? { errors: this.errors } : {}),
    };
  }
}

/** Makes the problem for fields that are wrong; at least one. */
export function invalidRequest(errors: FieldError[]): Problem {
  const [first, ...others] = errors;
  if (first === undefined) throw new Error('invalidRequest needs at least one field error.');
  const where =
    first.pointer === undefined ? first.parameter : first.pointer === '#' ? 'the body' : first.pointer;
  const more = others.length > 0 ? ` (and ${others.length} more: see errors)` : '';
  return new Problem('invalid-request', `At ${where}: expected ${first.expected}, got ${first.got}${more}.`, {
    errors,
  });
}
