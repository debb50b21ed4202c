import type { SwitchHistory, SwitchVersion } from '../switches/history.ts';
import type { Sql } from './store.ts';

/** Keeps the history of the switches in the table `audit`; 64-bit numbers are texts in its JSON. */
export function switchHistory(db: Sql): SwitchHistory {
  return {
    async keep({ name, who, changedAt, createdAt, czxid, mzxid, ...rest }) {
      const detail = { ...rest, czxid: String(czxid), mzxid: String(mzxid), createdAt };
      await db.query(
        `insert into audit as known (at, who, action, subject, detail) values ($1, $2, 'switch', $3, $4)
         on conflict (subject, at, (detail ->> 'mzxid')) where action = 'switch'
         do update set who = excluded.who, detail = excluded.detail
         where known.who is null and excluded.who is not null`,
        [changedAt, who, name, JSON.stringify(detail).replaceAll('\\u0000', '\\ufffd')],
      );
    },

    async versions(name, limit) {
      const rows = await db.query<Row>(
        `select at, who, detail from audit
         where action = 'switch' and subject = $1
         order by at desc, (detail ->> 'mzxid')::bigint desc limit $2`,
        [name, limit],
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
