import {
  ErrorCode,
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  type ResolutionDetails,
} from '@openfeature/server-sdk';
import type { SwitchDefinition, SwitchValue } from './definition.ts';
import type { SwitchChange } from './known.ts';
import { openSwitches, type Switches, type SwitchesOptions } from './open.ts';
import type { SwitchContext } from './switch.ts';

/** What the four evaluation methods of OpenFeature ask for. */
type Wanted = 'boolean' | 'string' | 'number' | 'object';

/**
 * An OpenFeature provider whose source is ZooKeeper: each registered switch is a flag of the same name.
 *
 * - The **value** is what `values` registers for the variant, else the variant's name; a switch of two variants
 *   without `values` can also be asked for as a boolean, and its second variant is `true`. Any other type is a
 *   `TYPE_MISMATCH`. Metadata: `version` of the znode and, where it decided, the `bucket`.
 * - The **context**'s texts, numbers, booleans and dates are attributes. Where it lacks the registered `by`, its
 *   `targetingKey` stands in for it.
 * - **Events**: ready when all values are there, stale when ZooKeeper goes away (the last known values stay), ready
 *   again when it is back, configuration changed with the switch's name when a value applies or a znode goes. A value
 *   that can't be used changes nothing, and is told by the log only.
 * - **Start**: with ZooKeeper away, the provider starts stale if a snapshot has values, and in error if nothing is
 *   known; it goes on trying, and becomes ready. Until then the caller's default is given (`PROVIDER_NOT_READY`).
 *   A registry, root or address that makes no sense is fatal.
 */
export class SwitchProvider implements Provider {
  readonly metadata = { name: 'ZooKeeper switches' } as const;
  readonly runsOn = 'server';
  readonly events = new OpenFeatureEventEmitter();
  readonly #options: SwitchesOptions;
  #opening: Promise<Switches> | undefined;
  #switches: Switches | undefined;
  /** Whether ZooKeeper has been seen, or a snapshot. */
  #known = false;

  /** As `openSwitches` takes them: it opens the switches in `initialize`, and closes them in `onClose`. */
  constructor(options: SwitchesOptions) {
    this.#options = options;
  }

  /** Opens the switches; called by the SDK. */
  async initialize(): Promise<void> {
    this.#opening = openSwitches(this.#options);
    const opened = await this.#opening.catch((cause: unknown) => {
      throw new ProviderFatalError(cause instanceof Error ? cause.message : String(cause), { cause });
    });
    this.#switches = opened;
    opened.subscribe((change) => this.#tell(change));
    const { connected, lastError, switches } = opened.status();
    this.#known = connected || Object.values(switches).some(({ applied }) => applied !== null);
    if (connected) return;
    const message = `ZooKeeper is away (${lastError ?? 'no answer yet'})`;
    if (!this.#known) throw new Error(`${message}, and nothing is known of its switches; trying on`);
    // After the SDK has made of our return that we are ready.
    setImmediate(() => {
      if (!opened.status().connected) this.events.emit(ProviderEvents.Stale, { message });
    });
  }

  /** Closes the switches, also those that are still being opened; called by the SDK. */
  async onClose(): Promise<void> {
    const [opened] = await Promise.allSettled([this.#opening]);
    if (opened.status === 'fulfilled') await opened.value?.close();
  }

  async resolveBooleanEvaluation(name: string, otherwise: boolean, context: EvaluationContext) {
    return this.#resolve(name, otherwise, context, 'boolean');
  }

  async resolveStringEvaluation(name: string, otherwise: string, context: EvaluationContext) {
    return this.#resolve(name, otherwise, context, 'string');
  }

  async resolveNumberEvaluation(name: string, otherwise: number, context: EvaluationContext) {
    return this.#resolve(name, otherwise, context, 'number');
  }

  async resolveObjectEvaluation<T extends JsonValue>(name: string, otherwise: T, context: EvaluationContext) {
    return this.#resolve(name, otherwise, context, 'object');
  }

  #resolve<T>(name: string, otherwise: T, context: EvaluationContext, wanted: Wanted): ResolutionDetails<T> {
    const failed = (errorCode: ErrorCode, errorMessage: string): ResolutionDetails<T> => ({
      value: otherwise,
      reason: 'ERROR',
      errorCode,
      errorMessage,
    });
    const definition = this.#options.registry[name];
    const evaluation = this.#switches?.evaluate(name, contextOf(context, definition));
    if (evaluation?.errorCode !== undefined)
      return failed(ErrorCode[evaluation.errorCode], evaluation.errorMessage ?? '');
    if (!this.#known || evaluation === undefined)
      return failed(ErrorCode.PROVIDER_NOT_READY, 'nothing is known of the switches yet');
    const { variant, value, reason, version, bucket } = evaluation;
    const typed = typedValue(definition, variant, value, wanted);
    if (typed === undefined)
      return failed(
        ErrorCode.TYPE_MISMATCH,
        `"${name}" gives ${JSON.stringify(value)}, which is no ${wanted}`,
      );
    const flagMetadata = {
      ...(version !== null && { version }),
      ...(bucket !== undefined && { bucket }),
    };
    return { value: typed as T, variant, reason, flagMetadata };
  }

  #tell(change: SwitchChange): void {
    if (change.kind === 'connected') {
      this.#known = true;
      this.events.emit(ProviderEvents.Ready);
    } else if (change.kind === 'away')
      this.events.emit(ProviderEvents.Stale, { message: `ZooKeeper is away (${change.error})` });
    else if (change.kind !== 'malformed')
      this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [change.name] });
  }
}

/** What of OpenFeature's context the switches can use. */
function contextOf(context: EvaluationContext, definition: SwitchDefinition | undefined): SwitchContext {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(context)) {
    if (typeof value === 'string') attributes[name] = value;
    else if (typeof value === 'number' || typeof value === 'boolean') attributes[name] = String(value);
    else if (value instanceof Date) attributes[name] = value.toISOString();
  }
  const { targetingKey } = context;
  if (definition && targetingKey) attributes[definition.by] ??= targetingKey;
  return attributes;
}

/** The value as the type that is wanted; undefined if it is another. */
function typedValue(
  definition: SwitchDefinition | undefined,
  variant: string,
  value: SwitchValue,
  wanted: Wanted,
): SwitchValue | undefined {
  const isFork = definition?.values === undefined && definition?.variants.length === 2;
  if (wanted === 'boolean' && isFork) return variant === definition.variants[1];
  return typeof value === wanted ? value : undefined;
}
