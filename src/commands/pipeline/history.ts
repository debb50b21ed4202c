import { overrideHistory } from '../../store/overrideHistory.ts';
import type { Output } from '../output.ts';
import { withStore } from '../withStore.ts';
import { named } from './name.ts';

/** Shows who changed what with `chodang pipeline`, when and why, the newest first. */
export async function history(
  name: string | undefined,
  { limit, json }: { limit: number; json?: boolean },
  { say }: Output,
): Promise<void> {
  await withStore(async (store, config) => {
    if (name !== undefined) named(config.steps, name);
    const changes = await overrideHistory(store, config.zookeeper.root).changes(name, limit);
    if (json) return say(JSON.stringify(changes));
    if (changes.length === 0) return say('no change is known');
    for (const { at, who, name, raw, before, note } of changes) {
      const why = note === null ? '' : `  "${note}"`;
      say(
        `${at.toISOString()}  ${who}  ${name}: ${before ?? 'as configured'} → ${raw ?? 'as configured'}${why}`,
      );
    }
  });
}
