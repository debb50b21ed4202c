import type { SwitchHistory, SwitchVersion } from '../switches/history.ts';
import { switchesPath } from '../switches/path.ts';
import { storable } from './storable.ts';
import type { Sql } from './store.ts';

/**
 * Keeps the history of the switches below one root in the table `audit`; 64-bit numbers are texts in its JSON.
 *
 * The versions of one znode are in the order of their transactions, whatever the servers' clocks say.
 */
export function switchHistory(db: Sql, root: string): SwitchHistory {
  const subjectOf = (name: string) => `${switchesPath(root)}/${name}`;
  return {
    async keep({ name, who, changedAt, createdAt, czxid, mzxid, raw, note, error, version }) {
      const detail = {
        raw: storable(raw),
        note: storable(note),
        error: storable(error),
        version,
        czxid: String(czxid),
        mzxid: String(mzxid),
        createdAt,
      };
      await db.query(
        `insert into audit as known (at, who, action, subject, detail) values ($1, $2, 'switch', $3, $4)
         on conflict (subject, at, (detail ->> 'mzxid')) where action = 'switch'
         do update set who = excluded.who, detail = excluded.detail
         where known.who is null and excluded.who is not null`,
        [changedAt, storable(who), subjectOf(name), JSON.stringify(detail)],
      );
    },

    async versions(name, limit) {
      const rows = await db.query<Row>(
        `select at, who, detail from audit
         where action = 'switch' and subject = $1
         order by detail ->> 'createdAt' desc, (detail ->> 'mzxid')::bigint desc limit $2`,
        [subjectOf(name), limit],
      );
      return rows.map(({ at, who, detail: { czxid, mzxid, createdAt, ...rest } }) => ({
        name,
        who,
        changedAt: at,
        createdAt: new Date(createdAt),
        czxid: BigInt(czxid),
        mzxid: BigInt(mzxid),
        ...rest,
      }));
    },
  };
}

interface Row {
  at: Date;
  who: string | null;
  detail: Pick<SwitchVersion, 'raw' | 'version' | 'note' | 'error'> & {
    czxid: string;
    mzxid: string;
    createdAt: string;
  };
}
