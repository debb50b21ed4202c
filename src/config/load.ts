import { existsSync, readFileSync } from 'node:fs';
import { Errors } from 'typebox/value';
import { parse } from 'yaml';
import { masked } from '../masking.ts';
import { applyEnvironment, variableOf } from './environment.ts';
import { type Config, ConfigSchema } from './schema.ts';
import { feedStep } from './topology.ts';

type Tree = { [key: string]: unknown };

/** Says everything that is wrong with the configuration, each with its path and environment variable. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} mistake(s):\n${problems.map((each) => `  - ${each}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

export interface LoadOptions {
  /** Default: `process.env`. `CHODANG_ENV` names the file laid over `default.yaml`; default `default`. */
  env?: Record<string, string | undefined>;
  /** Laid over the files, under the environment; for the local stack's addresses and for tests. */
  overlay?: Tree;
  /** Default: `config/` of the project. */
  directory?: URL;
}

/** Reads, completes and checks the configuration; throws `ConfigError` with all mistakes at once. */
export function loadConfig(options: LoadOptions = {}): Config {
  const { env = process.env, overlay = {}, directory = new URL('../../config/', import.meta.url) } = options;
  const problems: string[] = [];
  const name = env.CHODANG_ENV ?? 'default';
  let tree = readYaml(new URL('default.yaml', directory));
  if (name !== 'default') {
    const file = new URL(`${name}.yaml`, directory);
    if (existsSync(file)) tree = merge(tree, readYaml(file));
    else problems.push(`CHODANG_ENV is "${name}", but there is no config/${name}.yaml`);
  }
  tree = completeSteps(merge(tree, overlay));
  problems.push(...applyEnvironment(tree, env));
  problems.push(...schemaProblems(tree));
  if (problems.length === 0) problems.push(...contradictions(tree as Config));
  if (problems.length > 0) throw new ConfigError(problems);
  return tree as Config;
}

function readYaml(file: URL): Tree {
  return (parse(readFileSync(file, 'utf8')) ?? {}) as Tree;
}

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Lays `over` over `under`, key by key; lists and single values are replaced as a whole. */
function merge(under: Tree, over: Tree): Tree {
  const merged: Tree = structuredClone(under);
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : structuredClone(value);
  }
  return merged;
}

/** Gives every step what `stepDefaults` says, under what its own entry says. */
function completeSteps(tree: Tree): Tree {
  const { stepDefaults, steps, ...rest } = tree;
  const defaults = isTree(stepDefaults) ? stepDefaults : {};
  const complete = Object.entries(isTree(steps) ? steps : {}).map(
    ([step, own]) => [step, merge(defaults, isTree(own) ? own : {})] as const,
  );
  return { ...rest, steps: Object.fromEntries(complete) };
}

/** Settings whose values no error may show. */
const secret = /^(auth|apiKey|slackUrl|webhookUrl|webhookSecret)$/;

function schemaProblems(tree: Tree): string[] {
  const problems = new Map<string, string>();
  for (const { instancePath, message, keyword, params } of Errors(ConfigSchema, tree)) {
    if (keyword === 'additionalProperties' || keyword === 'anyOf') continue;
    const path = instancePath.split('/').slice(1);
    const came = path.reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree);
    const expected =
      keyword === 'boolean'
        ? 'is no setting we know; remove it or correct its name'
        : keyword === 'required'
          ? `lacks ${params.requiredProperties.join(', ')}`
          : `${message}${secret.test(path.at(-1) ?? '') ? '' : `, got ${masked(JSON.stringify(came) ?? 'nothing')}`}`;
    const at = path.join('.');
    const variable = isTree(came) || keyword === 'boolean' ? '' : ` (${variableOf(path)})`;
    if (!problems.has(at)) problems.set(at, `${at || 'the configuration'}${variable}: ${expected}`);
  }
  return [...problems.values()];
}

/** Finds values that are fine by themselves but not together. */
function contradictions(config: Config): string[] {
  const problems: string[] = [];
  const lanes = Object.keys(config.lanes);
  if (!Object.values(config.lanes).some((lane) => lane.maxOrders === undefined))
    problems.push('lanes: one lane must have no maxOrders, or large notices have nowhere to travel');
  if (Object.keys(config.steps).length === 0) problems.push('steps: expected at least one step');
  if (config.steps[feedStep])
    problems.push(`steps.${feedStep}: this is the name of the order feed; give the step another one`);
  if (config.feed.consumers.min > config.feed.consumers.max)
    problems.push(
      `feed.consumers: min ${config.feed.consumers.min} is more than max ${config.feed.consumers.max}`,
    );
  for (const [step, { lanes: own }] of Object.entries(config.steps)) {
    for (const lane of lanes)
      if (!own[lane])
        problems.push(`steps.${step}.lanes.${lane}: missing; add it there or to stepDefaults.lanes`);
    for (const [lane, { consumers, prefetch, batch }] of Object.entries(own)) {
      if (!lanes.includes(lane)) problems.push(`steps.${step}.lanes.${lane}: there is no lane of that name`);
      if (consumers.min > consumers.max)
        problems.push(
          `steps.${step}.lanes.${lane}.consumers: min ${consumers.min} is more than max ${consumers.max}`,
        );
      if (prefetch * config.pipeline.chunkSize < batch.size)
        problems.push(
          `steps.${step}.lanes.${lane}: ${prefetch} messages can never fill a batch of ${batch.size}`,
        );
    }
  }
  for (const [name, { variants, fallback }] of Object.entries(config.switches))
    if (!variants.includes(fallback))
      problems.push(`switches.${name}.fallback: "${fallback}" is none of ${variants.join(', ')}`);
  if (!isTimeZone(config.shop.timeZone))
    problems.push(
      `shop.timeZone (${variableOf(['shop', 'timeZone'])}): expected an IANA time zone such as Asia/Seoul, got "${config.shop.timeZone}"`,
    );
  if (config.failures.keepDays < config.failures.undoDays)
    problems.push(
      `failures: keepDays ${config.failures.keepDays} is less than undoDays ${config.failures.undoDays}: what is removed can't be taken back`,
    );
  problems.push(...alertProblems(config.alerts));
  return problems;
}

/** None of the values is shown: the URL of a webhook is a secret, often. */
function alertProblems({ slackUrl, webhookUrl, webhookSecret }: Config['alerts']): string[] {
  const makeOne = 'make one with: echo "whsec_$(openssl rand -base64 32)"';
  const problems = Object.entries({ slackUrl, webhookUrl })
    .filter(([, url]) => url !== '' && !isWebhookUrl(url))
    .map(([key]) => named(key, 'expected an address https://… or http://…, without user and password'));
  if (webhookUrl !== '' && webhookSecret === '')
    problems.push(
      named('webhookSecret', `missing: alerts.webhookUrl is set, and what goes there is signed; ${makeOne}`),
    );
  if (webhookSecret !== '' && !webhookSecret.split(' ').every(isWebhookSecret))
    problems.push(named('webhookSecret', `expected whsec_ and the base64 of 24 to 64 bytes; ${makeOne}`));
  return problems;
}

const named = (key: string, problem: string) => `alerts.${key} (${variableOf(['alerts', key])}): ${problem}`;

function isWebhookUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

function isWebhookSecret(text: string): boolean {
  const key = Buffer.from(text.slice('whsec_'.length), 'base64');
  return text === `whsec_${key.toString('base64')}` && key.length >= 24 && key.length <= 64;
}

function isTimeZone(name: string): boolean {
  try {
    return Boolean(Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}
