import { V7Generator } from 'uuidv7';
import { storable, storableJson } from './storable.ts';
import { type Sql, type Store, transaction } from './store.ts';

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

/** An alert as it lies in the outbox. */
export interface RaisedAlert extends Alert {
  alertId: string;
  at: Date;
}

/** Alerts that developers are told of together, the oldest first. */
export interface Bundle {
  /** A UUID of version 7: of two bundles, the newer one has the greater id. */
  bundleId: string;
  /** When it was made. */
  at: Date;
  alerts: RaisedAlert[];
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

/**
 * Raises an alert unless one of its kind and subject was raised within the last `withinMs`, by whichever process;
 * returns whether it did. For what several processes see at once, and go on seeing.
 */
export function raiseOnce(store: Store, alert: Alert, withinMs: number): Promise<boolean> {
  const { kind, subject } = alert;
  return transaction(store, async (tx) => {
    await lock(tx, `alert ${kind} ${subject}`);
    const raised = await tx.rows(
      `select 1 from alerts
       where kind = $1 and subject = $2 and at > now() - $3::float8 * interval '1 millisecond' limit 1`,
      [kind, storable(subject), withinMs],
    );
    if (raised.length > 0) return false;
    await raiseAlerts(tx, [alert]);
    return true;
  });
}

export interface BundleOptions {
  /** How old the oldest alert that nobody was told of must be, in ms: time for its neighbours to come. */
  collectMs: number;
  /** How long after one bundle the next may be made, in ms. */
  everyMs: number;
  /** At most so many alerts in one bundle; default 20,000. The rest is for the next one. */
  limit?: number;
  /** What is to be said in each channel, by its name; a pure function, since it may be asked again. */
  bodiesOf: (bundle: Bundle) => Record<string, string>;
}

/**
 * Puts the alerts that nobody was told of into a bundle, if it is time for one, and writes a delivery for each
 * channel: from then on its id and every byte of its bodies stay the same, however often they are sent.
 *
 * Any number of processes may ask; one bundle is made, and no alert is in two.
 */
export async function takeBundle(store: Store, options: BundleOptions): Promise<Bundle | undefined> {
  const { limit = 20_000, bodiesOf } = options;
  if (!(await timeForBundle(store, options))) return undefined;
  return transaction(store, async (tx) => {
    await lock(tx, 'alerts into a bundle');
    // Another process may have made one while this one waited.
    const at = await timeForBundle(tx, options);
    if (!at) return undefined;
    const bundleId = new V7Generator().generateOrResetWithTs(at.getTime()).toString();
    const alerts = await tx.query<RaisedAlert>(take, [bundleId, limit]);
    const bundle = { bundleId, at, alerts: alerts.toSorted((a, b) => Number(a.alertId) - Number(b.alertId)) };
    const bodies = Object.entries(bodiesOf(bundle));
    await tx.query(
      `insert into alert_deliveries (bundle_id, channel, body)
       select $1, channel, body from unnest($2::text[], $3::text[]) as d (channel, body)`,
      [bundleId, bodies.map(([channel]) => channel), bodies.map(([, body]) => storable(body))],
    );
    return bundle;
  });
}

/** What time it is in Postgres, if it is time for a bundle. */
async function timeForBundle(
  db: Sql,
  { collectMs, everyMs }: Pick<BundleOptions, 'collectMs' | 'everyMs'>,
): Promise<Date | undefined> {
  const [row] = await db.query<{ now: Date }>(
    `select clock_timestamp() as now
     from (select at from alerts where bundle_id is null order by alert_id limit 1) as oldest
     where oldest.at <= clock_timestamp() - $1::float8 * interval '1 millisecond'
       and not exists (
         select from (select created_at from alert_deliveries order by bundle_id desc limit 1) as last
         where last.created_at > clock_timestamp() - $2::float8 * interval '1 millisecond'
       )`,
    [collectMs, everyMs],
  );
  return row?.now;
}

/**
 * Removes alerts, and deliveries, that are older than so many days and no longer on their way: delivered or given
 * up. At most `limit` (default 10,000) of each; returns how many of both: nothing is left if they are fewer than that.
 */
export async function removeOldAlerts(
  db: Sql,
  { olderThanDays, limit = 10_000 }: { olderThanDays: number; limit?: number },
): Promise<number> {
  const alerts = await db.rows(removeAlerts, [olderThanDays, limit]);
  const deliveries = await db.rows(removeDeliveries, [olderThanDays, limit]);
  return alerts.length + deliveries.length;
}

/** Keeps others who want the same out until the transaction ends. */
const lock = (tx: Sql, name: string) =>
  tx.rows('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`chodang: ${name}`]);

const take = `
  with untold as materialized (
    select alert_id from alerts where bundle_id is null order by alert_id limit $2 for update
  )
  update alerts a set bundle_id = $1 from untold where a.alert_id = untold.alert_id
  returning a.alert_id as "alertId", a.at, a.kind, a.subject, a.detail`;

const removeAlerts = `
  delete from alerts where alert_id in (
    select alert_id from alerts a
    where bundle_id is not null and at < now() - make_interval(days => $1)
      and not exists (
        select from alert_deliveries d
        where d.bundle_id = a.bundle_id and d.delivered_at is null and d.gave_up_at is null
      )
    order by alert_id limit $2
  )
  returning 1`;

const removeDeliveries = `
  delete from alert_deliveries where (bundle_id, channel) in (
    select bundle_id, channel from alert_deliveries d
    where (delivered_at is not null or gave_up_at is not null) and created_at < now() - make_interval(days => $1)
      and not exists (select from alerts a where a.bundle_id = d.bundle_id)
    order by bundle_id limit $2
  )
  returning 1`;
