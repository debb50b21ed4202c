type Tree = { [key: string]: unknown };

// Names that stand for themselves, not for a setting.
const notSettings = new Set([
  'CHODANG_ENV',
  'CHODANG_DEBUG',
  'CHODANG_OPERATOR', // who is at work; see src/commands/who.ts
  'CHODANG_TEST_STACK',
]);

/** Names the environment variable of a setting: `shop.timeZone` is `CHODANG_SHOP_TIME_ZONE`. */
export function variableOf(path: readonly string[]): string {
  const name = `CHODANG_${path.map(constantCase).join('_')}`;
  // The one whose name was agreed before there was a rule.
  return name === 'CHODANG_ZOOKEEPER_CONNECT' ? 'CHODANG_ZOOKEEPER' : name;
}

const constantCase = (key: string) =>
  key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .toUpperCase();

/**
 * Writes what the environment says into the settings, each read as the type that the setting has.
 *
 * Returns one problem for each `CHODANG_…` variable that stands for no setting, so that a typo is noticed.
 */
export function applyEnvironment(tree: Tree, env: Record<string, string | undefined>): string[] {
  const places = new Map<string, { holder: Tree; key: string }>();
  const collect = (holder: Tree, path: string[]) => {
    for (const [key, value] of Object.entries(holder)) {
      const here = [...path, key];
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) collect(value as Tree, here);
      else if (!Array.isArray(value)) places.set(variableOf(here), { holder, key });
    }
  };
  collect(tree, []);

  const problems: string[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('CHODANG_') || notSettings.has(name) || text === undefined) continue;
    const place = places.get(name);
    if (!place) problems.push(`${name}: there is no setting of that name; see config/default.yaml`);
    else place.holder[place.key] = readAs(typeof place.holder[place.key], text);
  }
  return problems;
}

/** Leaves a text that isn't of that type as it is: the schema then says what was expected. */
function readAs(type: string, text: string): unknown {
  if (type === 'number' && text.trim() !== '' && Number.isFinite(Number(text))) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}
