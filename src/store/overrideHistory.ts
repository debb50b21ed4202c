import { folderPath } from '../switches/path.ts';
import { storable } from './storable.ts';
import type { Sql } from './store.ts';

/** A change of what overrules the configuration of a lane or a step, as somebody made it with `chodang pipeline`. */
export interface OverrideChange {
  /** `<step>` or `<step>.<lane>`. */
  name: string;
  who: string;
  note: string | null;
  /** What was written; null if it was taken back. */
  raw: string | null;
  /** What was there before; null if nothing was. */
  before: string | null;
}

/** Keeps the changes of the overrides below one root in the table `audit`; those made past our command are not in it. */
export function overrideHistory(db: Sql, root: string) {
  const parent = `${folderPath(root, 'pipeline')}/`;
  return {
    async keep({ name, who, note, raw, before }: OverrideChange): Promise<void> {
      const detail = { raw: storable(raw), note: storable(note), before: storable(before) };
      await db.query(`insert into audit (who, action, subject, detail) values ($1, 'pipeline', $2, $3)`, [
        storable(who),
        parent + name,
        JSON.stringify(detail),
      ]);
    },

    /** The changes of one name or of all, the newest first. */
    async changes(name: string | undefined, limit: number): Promise<(OverrideChange & { at: Date })[]> {
      const rows = await db.query<{ at: Date; who: string; subject: string; detail: OverrideChange }>(
        `select at, who, subject, detail from audit
         where action = 'pipeline' and starts_with(subject, $1) and ($2::text is null or subject = $1 || $2)
         order by audit_id desc limit $3`,
        [parent, name ?? null, limit],
      );
      return rows.map(({ at, who, subject, detail: { raw, note, before } }) => ({
        at,
        who,
        name: subject.slice(parent.length),
        raw,
        note,
        before,
      }));
    },
  };
}
