import { type Static, Type } from 'typebox';

const list = (description: string) => Type.Optional(Type.Array(Type.String(), { description }));
const milliseconds = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));
const onOff = (description: string) => Type.Optional(Type.Boolean({ description }));

/**
 * What the simulator does wrong on demand, as `PUT /v1/faults` takes it; everything may be left out.
 *
 * A call meets them in this order: `latencyMs`, `dropBefore`, `status`, what refuses it (400, 413), then it is
 * accepted and remembered, then `crashAfterAccept`, `dropAfter`, `hangMs`, `omitResults`.
 */
export const faultsSchema = Type.Object(
  {
    times: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'only the next so many calls meet these faults; idempotent and maxRecipients stay. Default: until changed',
      }),
    ),
    latencyMs: milliseconds('waits so long before it looks at the call'),
    dropBefore: onOff('cuts the connection; nothing is accepted'),
    status: Type.Optional(
      Type.Integer({ minimum: 300, maximum: 599, description: 'answers this status; nothing is accepted' }),
    ),
    retryAfter: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0 }), Type.String()], {
        description: 'Retry-After beside status: seconds, or an HTTP date',
      }),
    ),
    refuseTo: list('answers 400 to a call that holds one of these phone numbers'),
    refuseTexts: list('answers 400 to a call in which a text holds one of these'),
    maxRecipients: Type.Optional(
      Type.Integer({ minimum: 1, description: 'answers 413 to a call with more. Default: 10,000' }),
    ),
    recipients: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Union([Type.Literal('permanent'), Type.Literal('retriable'), Type.Literal('unconfirmed')]),
        {
          description:
            'the result for a phone number; unconfirmed is delivered all the same, the others are not',
        },
      ),
    ),
    idempotent: onOff('false: a repeated key is delivered again. Default: true'),
    crashAfterAccept: onOff('kills the whole simulator with SIGKILL once the call is remembered'),
    dropAfter: onOff('accepts and remembers the call, then cuts the connection without an answer'),
    hangMs: milliseconds('accepts and remembers the call, then waits so long before it answers'),
    omitResults: Type.Optional(
      Type.Object(
        {
          to: list('for these phone numbers'),
          keys: list('for these keys'),
          fraction: Type.Optional(
            Type.Number({
              minimum: 0,
              maximum: 1,
              description: 'for this share of each call, evenly spread',
            }),
          ),
        },
        { additionalProperties: false, description: 'accepts, but leaves these results out of the answer' },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Faults = Static<typeof faultsSchema>;

/** Holds an account's faults, and counts down `times`. */
export class FaultSettings {
  #faults: Faults = {};

  get(): Faults {
    return this.#faults;
  }

  set(faults: Faults): void {
    this.#faults = { ...faults };
  }

  /** Returns the faults that one call meets. */
  take(): Faults {
    const faults = this.#faults;
    if (faults.times === 1) {
      const { idempotent, maxRecipients } = faults;
      this.#faults = {
        ...(idempotent === undefined ? {} : { idempotent }),
        ...(maxRecipients === undefined ? {} : { maxRecipients }),
      };
    } else if (faults.times !== undefined) {
      this.#faults = { ...faults, times: faults.times - 1 };
    }
    return faults;
  }
}

/** Tells whether the `index`th result of a call is left out of the answer. */
export function isOmitted(faults: Faults, index: number, notification: { key: string; to: string }): boolean {
  const omit = faults.omitResults;
  if (!omit) return false;
  const share = omit.fraction ?? 0;
  return (
    Math.floor((index + 1) * share) > Math.floor(index * share) ||
    (omit.to?.includes(notification.to) ?? false) ||
    (omit.keys?.includes(notification.key) ?? false)
  );
}
