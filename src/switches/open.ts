import { registryProblems, type SwitchDefinition, type SwitchRegistry } from './definition.ts';
import { type FolderOptions, openFolder } from './folder.ts';
import type { ZnodeKind } from './kind.ts';
import type { SwitchChange, SwitchStatus } from './known.ts';
import { parseRule } from './parse.ts';
import type { Rule } from './rule.ts';
import { type Evaluation, evaluateSwitch, type SwitchContext, unknownSwitch } from './switch.ts';

/** What `openSwitches` must know: the switches, and where they are in ZooKeeper. */
export interface SwitchesOptions<Registry extends SwitchRegistry = SwitchRegistry>
  extends FolderOptions<{ readonly rule: Rule }> {
  registry: Registry;
}

/** All switches of a process as they are now. */
export interface SwitchesStatus<Name extends string = string> {
  readonly connected: boolean;
  /** Since when ZooKeeper is away; null if it isn't. */
  readonly awaySince: Date | null;
  /** Why ZooKeeper is away, as far as is known; null if it isn't. */
  readonly lastError: string | null;
  readonly switches: Readonly<Record<Name, SwitchStatus>>;
  /** Znodes next to the others that no registered switch belongs to; they have no effect. */
  readonly unregistered: readonly string[];
}

/** The live switches of a process. */
export interface Switches<Name extends string = string> {
  /** Decides in memory, at once, and never throws: in doubt it gives the fallback and says why. */
  evaluate(name: Name, context: SwitchContext): Evaluation;
  status(): SwitchesStatus<Name>;
  /** Tells `listener` of each change from now on; gives a function that stops that. */
  subscribe(listener: (change: SwitchChange) => void): () => void;
  /** Stops following; evaluation goes on with what is known, as `STALE`. Leaves no timer and no socket. */
  close(): Promise<void>;
}

/** Switches are znodes that say which variant whom gets. */
const kind: ZnodeKind<SwitchDefinition, { readonly rule: Rule }> = {
  folder: 'switches',
  words: { one: 'switch', many: 'switches', otherwise: 'fallback' },
  parse: (definition, written) => ({ rule: parseRule(definition, written) }),
  otherwise: ({ fallback }) => ({ fallback }),
};

/**
 * Opens the switches of a process: follows their znodes in ZooKeeper, over one session, until closed.
 *
 * It resolves when all values are there, or without them after `connectWaitMs`, and then keeps trying. It rejects
 * only for what waiting can't mend: a registry, a root or an address that makes no sense.
 */
export async function openSwitches<const Registry extends SwitchRegistry>(
  options: SwitchesOptions<Registry>,
): Promise<Switches<keyof Registry & string>> {
  const problems = registryProblems(options.registry);
  if (problems.length > 0) throw new Error(`the switches can't be opened: ${problems.join('; ')}`);
  const folder = await openFolder(kind, options.registry as SwitchRegistry, options);
  return {
    evaluate: (name, context) => {
      const state = folder.get(name);
      if (state === undefined) return unknownSwitch(name, folder.names());
      return evaluateSwitch(state, context, folder.isStale());
    },
    status: () => {
      const { znodes, ...status } = folder.status();
      return { ...status, switches: znodes };
    },
    subscribe: (listener) => folder.subscribe(listener),
    close: () => folder.close(),
  };
}
