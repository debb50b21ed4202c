/** What is looked at, in the order in which it is told. */
export const parts = ['configuration', 'postgres', 'rabbitmq', 'zookeeper', 'gateway', 'failures'] as const;
export type Part = (typeof parts)[number];

/**
 * What one look at a part came to. `warn`: worth a look, nobody is harmed yet; `wrong`: something doesn't work,
 * or notices may be lost or left lying.
 */
export type Finding =
  | { readonly check: string; readonly status: 'ok'; readonly found: string }
  | {
      readonly check: string;
      readonly status: 'warn' | 'wrong';
      readonly found: string;
      readonly expected?: string;
      /** What to do about it, with the command where there is one. */
      readonly remedy: string;
    };

/** A finding, and of which part it is. */
export type Check = { readonly part: Part } & Finding;

/** What goes with something that isn't as it should be. */
type Trouble = Omit<Extract<Finding, { remedy: string }>, 'check' | 'status'>;

/** Says that all is well. */
export const ok = (check: string, found: string): Finding => ({ check, status: 'ok', found });

/** Says what is worth a look. */
export const warn = (check: string, trouble: Trouble): Finding => ({ check, status: 'warn', ...trouble });

/** Says what is wrong. */
export const wrong = (check: string, trouble: Trouble): Finding => ({ check, status: 'wrong', ...trouble });
