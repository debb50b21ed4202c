import { storable } from './storable.ts';
import type { Sql } from './store.ts';

/** One bundle of alerts on its way to one channel. */
export interface AlertDelivery {
  bundleId: string;
  channel: string;
  /** What to send: the same bytes each time. */
  body: string;
  /** Which try this is, from 1. */
  attempt: number;
}

/**
 * Takes the delivery that is longest due in a channel, for `leaseMs`: nobody else gets it meanwhile. Its attempt is
 * counted by that, before anything is sent. If it is neither marked nor failed within that time, since the process
 * died, it is due again.
 */
export async function takeDueDelivery(
  db: Sql,
  channel: string,
  leaseMs: number,
): Promise<AlertDelivery | undefined> {
  const [delivery] = await db.query<AlertDelivery>(
    `update alert_deliveries
     set attempts = attempts + 1, next_at = now() + $2::float8 * interval '1 millisecond'
     where (bundle_id, channel) = (
       select bundle_id, channel from alert_deliveries
       where channel = $1 and delivered_at is null and gave_up_at is null and next_at <= now()
       order by next_at limit 1 for update skip locked
     )
     returning bundle_id as "bundleId", channel, body, attempts as attempt`,
    [channel, leaseMs],
  );
  return delivery;
}

type Key = Pick<AlertDelivery, 'bundleId' | 'channel'>;

/** Notes that a delivery has arrived. */
export async function markDelivered(db: Sql, { bundleId, channel }: Key): Promise<void> {
  await db.query(
    `update alert_deliveries set delivered_at = now(), error = null
     where bundle_id = $1 and channel = $2 and delivered_at is null`,
    [bundleId, channel],
  );
}

/**
 * Notes that a try failed, and when the next one is due: in `againMs`, but not after its time is up. If it is up,
 * `giveUpMs` after the bundle was made, this was the last one. Returns whether it was.
 */
export async function markFailed(
  db: Sql,
  { bundleId, channel }: Key,
  { error, againMs, giveUpMs }: { error: string; againMs: number; giveUpMs: number },
): Promise<boolean> {
  const [delivery] = await db.query<{ gaveUp: boolean }>(
    `update alert_deliveries d
     set error = $3, next_at = least(now() + $4::float8 * interval '1 millisecond', up.at),
         gave_up_at = case when now() >= up.at then now() end
     from (
       select created_at + $5::float8 * interval '1 millisecond' as at
       from alert_deliveries where bundle_id = $1 and channel = $2
     ) as up
     where d.bundle_id = $1 and d.channel = $2 and d.delivered_at is null and d.gave_up_at is null
     returning d.gave_up_at is not null as "gaveUp"`,
    [bundleId, channel, storable(error), againMs, giveUpMs],
  );
  return delivery?.gaveUp ?? false;
}

/** Gives up deliveries whose time is up in channels other than these, and returns them: nobody sends them any more. */
export async function giveUpOthers(db: Sql, channels: readonly string[], giveUpMs: number): Promise<Key[]> {
  return db.query<Key>(
    `update alert_deliveries set gave_up_at = now(), error = coalesce(error, 'this channel is no longer configured')
     where channel <> all ($1) and delivered_at is null and gave_up_at is null
       and created_at < now() - $2::float8 * interval '1 millisecond'
     returning bundle_id as "bundleId", channel`,
    [channels, giveUpMs],
  );
}

/** How many bundles have not arrived in a channel. */
export interface Undelivered {
  channel: string;
  /** Still on their way. */
  waiting: number;
  /** Given up, and not removed yet. */
  gaveUp: number;
}

/** Counts what has not arrived, in the channels where there is such. */
export async function countUndelivered(db: Sql): Promise<Undelivered[]> {
  return db.query<Undelivered>(
    `select channel, (count(*) - count(gave_up_at))::int as waiting, count(gave_up_at)::int as "gaveUp"
     from alert_deliveries where delivered_at is null group by channel`,
  );
}
