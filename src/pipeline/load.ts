import type { Actor } from './actor.ts';

/**
 * Loads the actors of the named steps: `<directory>/<step>.ts` (`.js` once built), whose default export is
 * a function from `services` to the actor.
 *
 * Throws an error that names the file if there is none, or if it exports something else.
 */
export async function loadActors<Header, Item>(
  directory: URL,
  names: readonly string[],
  services: unknown,
): Promise<Record<string, Actor<Header, Item>>> {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const loaded = await Promise.all(
    names.map(async (name) => {
      const file = new URL(`${name}.${ending}`, directory);
      let make: unknown;
      try {
        make = ((await import(file.href)) as { default?: unknown }).default;
      } catch (cause) {
        throw new Error(`step "${name}" is in config/, but its actor ${file.pathname} does not load`, {
          cause,
        });
      }
      if (typeof make !== 'function')
        throw new Error(
          `${file.pathname}: expected a default export that makes an actor, got ${typeof make}`,
        );
      return [name, make(services) as Actor<Header, Item>] as const;
    }),
  );
  return Object.fromEntries(loaded);
}
