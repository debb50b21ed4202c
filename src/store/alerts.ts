import { storable, storableJson } from './storable.ts';
import type { Sql } from './store.ts';

/** What developers are alerted to. */
export const alertKinds = [
  'group new',
  'group over threshold',
  'group reopened',
  'group resolved',
  'retry stopped',
  'queue undrained',
  'retriable storm',
] as const;
export type AlertKind = (typeof alertKinds)[number];

/** Something that developers are to be told. */
export interface Alert {
  kind: AlertKind;
  /** What it is about, the same each time: `group 12`, `queue tms.failed`, `step tms`, `operation 7`. */
  subject: string;
  /** What there is to say of it, e.g. the group's error and counts; no personal data. */
  detail: Record<string, string | number | null>;
}

/**
 * Writes alerts into the outbox; call it in the transaction of what they tell of. Whoever sends them does so at
 * least once.
 */
export async function raiseAlerts(db: Sql, alerts: readonly Alert[]): Promise<void> {
  if (alerts.length === 0) return;
  await db.query(
    `insert into alerts (kind, subject, detail)
     select * from unnest($1::text[], $2::text[], $3::jsonb[]) as a (kind, subject, detail)`,
    [
      alerts.map(({ kind }) => kind),
      alerts.map(({ subject }) => storable(subject)),
      alerts.map(({ detail }) => storableJson(detail)),
    ],
  );
}
