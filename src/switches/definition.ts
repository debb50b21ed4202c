/** What a variant stands for; whatever JSON can say but null. */
export type SwitchValue = boolean | number | string | Readonly<Record<string, unknown>> | readonly unknown[];

/** What a process must know of a switch before ZooKeeper says anything. */
export interface SwitchDefinition {
  /** Two or three names: first the old variant (`off`), second the new one (`on`, and what `p%` gives a share to). */
  variants: readonly string[];
  /** The context attribute whose value is the key that is bucketed, unless the znode's JSON names another. */
  by: string;
  /** The variant that is given while no value is known, or where a value can't be applied. */
  fallback: string;
  /**
   * Every attribute that callers put into a context. If given, a value whose `by` or segments name any
   * other is refused as malformed. Default: any name is accepted.
   */
  attributes?: readonly string[] | undefined;
  /** What each variant stands for, all of one type. Default: its own name. */
  values?: Readonly<Record<string, SwitchValue>> | undefined;
}

/** The switches of a process, by name; the name is that of the znode. */
export type SwitchRegistry = Readonly<Record<string, SwitchDefinition>>;

/** Gives the definition of a switch; throws an error that names those that are registered if it is none of them. */
export function registered(registry: SwitchRegistry, name: string): SwitchDefinition {
  const definition = Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (definition) return definition;
  throw new Error(`"${name}" is not a registered switch; known are: ${Object.keys(registry).join(', ')}`);
}

const nameForm = /^[A-Za-z][A-Za-z0-9._-]*$/;

/**
 * Lists everything that is wrong with a registry, one sentence per mistake; empty if nothing is.
 *
 * `on` and `off` may be variants only where they mean what those words mean everywhere: second and first.
 */
export function registryProblems(registry: SwitchRegistry): string[] {
  return Object.entries(registry).flatMap(([name, definition]) =>
    definitionProblems(name, definition).map((problem) => `switch "${name}": ${problem}`),
  );
}

function definitionProblems(
  name: string,
  { variants, by, fallback, attributes, values }: SwitchDefinition,
): string[] {
  const problems: string[] = [];
  for (const word of [name, ...variants]) {
    if (!nameForm.test(word)) {
      problems.push(`"${word}" can't be a name; expected a letter, then letters, digits, ".", "_" or "-"`);
    }
  }
  if (variants.length < 2 || variants.length > 3) {
    problems.push(`has ${variants.length} variants; expected two or three, first the old one, then the new`);
  }
  if (new Set(variants).size < variants.length) {
    problems.push(`names a variant twice: ${variants.join(', ')}`);
  }
  if (variants.indexOf('off') > 0 || (variants.includes('on') && variants.indexOf('on') !== 1)) {
    problems.push('"off" can only be the first variant and "on" only the second');
  }
  if (!variants.includes(fallback)) {
    problems.push(`fallback "${fallback}" is none of its variants (${variants.join(', ')})`);
  }
  if (by === '') {
    problems.push('"by" is empty; expected the name of a context attribute, such as "sellerId"');
  } else if (attributes !== undefined && !attributes.includes(by)) {
    problems.push(`"by" is "${by}", which is none of its attributes (${attributes.join(', ')})`);
  }
  if (values !== undefined) problems.push(...valueProblems(variants, values));
  return problems;
}

function valueProblems(variants: readonly string[], values: Readonly<Record<string, unknown>>): string[] {
  const names = Object.keys(values);
  const types = new Set(names.map((name) => (values[name] === null ? 'null' : typeof values[name])));
  const problems: string[] = [];
  if (names.toSorted().join() !== variants.toSorted().join())
    problems.push(
      `has values for ${names.join(', ') || 'none'}; expected one for each of ${variants.join(', ')}`,
    );
  if (types.size > 1 || types.has('null') || types.has('undefined'))
    problems.push(`has values of the types ${[...types].join(', ')}; expected all of one type, and not null`);
  return problems;
}
